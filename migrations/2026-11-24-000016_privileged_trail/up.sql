COMMENT ON COLUMN audit_events.kind IS 'Which trail it is in: that of the kind of session concerned, or server. What leads to privileged work, or keeps it from beginning, is in the privileged one.';
