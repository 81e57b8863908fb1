"""Managed jobs with their stages, orders and archives; runs count how often they were begun again after failing."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE runs ADD COLUMN errors BIGINT NOT NULL DEFAULT 0",
    """CREATE TABLE jobs (
        id BIGINT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, owner TEXT NOT NULL,
        submitted DOUBLE PRECISION NOT NULL, batch BIGINT NOT NULL, priority BIGINT NOT NULL, number BIGINT NOT NULL,
        siblings BIGINT NOT NULL, together BOOLEAN NOT NULL, primaries TEXT NOT NULL, delays TEXT NOT NULL,
        phase TEXT NOT NULL, status TEXT NOT NULL, started DOUBLE PRECISION, ended DOUBLE PRECISION, call TEXT
    )""",
    "CREATE INDEX jobs_by_phase ON jobs (phase)",
    "CREATE INDEX jobs_of_batch ON jobs (batch)",
    """CREATE TABLE job_stages (
        job BIGINT NOT NULL, stage BIGINT NOT NULL, name TEXT NOT NULL, deployment TEXT NOT NULL,
        wanted TEXT NOT NULL, status TEXT NOT NULL, uid TEXT, run BIGINT, started DOUBLE PRECISION,
        running_since DOUBLE PRECISION, ended DOUBLE PRECISION, exit_code BIGINT, reason TEXT,
        recoveries BIGINT NOT NULL, max_s DOUBLE PRECISION, cleared BOOLEAN NOT NULL, retry_at DOUBLE PRECISION,
        PRIMARY KEY (job, stage)
    )""",
    """CREATE TABLE job_orders (
        batch BIGINT NOT NULL, stage BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (batch, stage)
    )""",
    "CREATE TABLE job_files (batch BIGINT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (batch, digest))",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
