"""How a database and its role are made in PostgreSQL: one script for `psql`, the same on every target."""

from __future__ import annotations

from stepflow.targets.addresses import CLIENT_PORTS, POSTGRES_ADMIN, role

SERVICE = "admin"
"""What `service_file` calls the administrator's connection: `psql service=admin`."""
_SERVICE = """\
[{service}]
host=postgres
port={port}
user={user}
dbname={user}
connect_timeout=10
password=\
"""
_SCRIPT = r"""\set ON_ERROR_STOP on
\set VERBOSITY terse
SET log_statement = 'none';
SET log_duration = off;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = panic;
SET password_encryption = 'scram-sha-256';
DO $$ BEGIN PERFORM pg_advisory_lock(hashtext('stepflow databases')); END $$;
\set password `cat {password_file}`
SELECT 'CREATE ROLE "{name}" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \gexec
ALTER ROLE "{name}" LOGIN PASSWORD :'password';
SELECT 'CREATE DATABASE "{name}" OWNER "{name}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \gexec
REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
"""
"""No statement that holds a password is logged. One runs at a time: two that revoke from the same database at once
would fail."""


def database_script(database: str, password_file: str) -> str:
    """Return the script that makes a database and the role that owns it; the same again when it runs again.

    The role's password is read from a file beside the client. Raises `PermanentError` for what cannot be a name.
    """
    return _SCRIPT.format(password_file=password_file, name=role(database))


def service_file() -> tuple[str, str]:
    """Return libpq's service file (`PGSERVICEFILE`) for the administrator: what stands before and after the password.

    libpq refuses a password file that a group may read, but not this.
    """
    return _SERVICE.format(service=SERVICE, port=CLIENT_PORTS["postgres"], user=POSTGRES_ADMIN), "\n"
