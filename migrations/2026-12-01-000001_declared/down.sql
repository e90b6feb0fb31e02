ALTER TABLE users DROP COLUMN declared_at;
ALTER TABLE clients DROP COLUMN declared_at;
DROP TABLE resources;
DROP TABLE scopes;
