DROP INDEX users_email;
DROP TABLE password_resets;
DROP INDEX notices_mail;
DELETE FROM notices WHERE kind = 'mail';
ALTER TABLE notices
    DROP CONSTRAINT notices_kind_check,
    DROP COLUMN template,
    DROP COLUMN detail,
    ALTER COLUMN session_id SET NOT NULL,
    ALTER COLUMN client_id SET NOT NULL,
    ALTER COLUMN sid SET NOT NULL,
    ADD CONSTRAINT notices_kind_check CHECK (kind IN ('backchannel_logout'));
