-- Accounts of checks: left out of lists and figures, and their rows are deleted with them.
ALTER TABLE users ADD COLUMN test boolean NOT NULL DEFAULT false;
