-- Messages to test accounts: left out of lists and figures, and deleted with their account.
ALTER TABLE messages ADD COLUMN test boolean NOT NULL DEFAULT false;
ALTER TABLE recorded ADD COLUMN test boolean NOT NULL DEFAULT false;
