-- Payments of test orders: no money moves, and they are forgotten.
ALTER TABLE payments ADD COLUMN test boolean NOT NULL DEFAULT false;
CREATE INDEX payments_of_tests ON payments (created_at) WHERE test;
