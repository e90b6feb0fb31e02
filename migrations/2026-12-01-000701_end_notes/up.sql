-- Why a session ended is one of a closed list, and what is decided by it may be decided by no words of an operator's.
ALTER TABLE sessions ADD COLUMN end_note text;
COMMENT ON COLUMN sessions.end_note IS 'What an operator or an administrator said when they ended it; nothing is decided by it.';
