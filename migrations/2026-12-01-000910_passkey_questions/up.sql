-- A question for a passkey that was not stored is remembered when it is answered, beside the assertions of clients.
COMMENT ON TABLE used_jtis IS 'The jti of client assertions already used (RFC 7523 section 3), and the questions that a passkey has answered without a ceremony, once for the window of time of that use and once for the next; windows are a little longer than the hour for which an assertion may be good.';
COMMENT ON COLUMN used_jtis.client_id IS 'Whose assertion; empty for a question that a passkey has answered.';
COMMENT ON COLUMN used_jtis.jti_hash IS 'SHA-256 of its jti, or of the question.';
