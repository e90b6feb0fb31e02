ALTER TABLE sessions DROP COLUMN end_note;
