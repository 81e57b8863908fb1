"""The first tables: deployments, nodes, runs with their ranks, operations, timeline, what nodes said, secrets."""

from alembic import op

revision = "0001"
down_revision: str | None = None

STATEMENTS = (
    """CREATE TABLE deployments (
        uid TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, owner TEXT NOT NULL, cloud TEXT NOT NULL,
        wanted TEXT NOT NULL, stage TEXT NOT NULL, place TEXT NOT NULL, market TEXT NOT NULL,
        hourly DOUBLE PRECISION NOT NULL, spec TEXT NOT NULL, digest TEXT NOT NULL, applied TEXT,
        envelope TEXT, keep BOOLEAN NOT NULL, idle_s DOUBLE PRECISION, stop_down BOOLEAN NOT NULL,
        retry BOOLEAN NOT NULL, purge BOOLEAN NOT NULL, created DOUBLE PRECISION NOT NULL,
        up_since DOUBLE PRECISION, ended DOUBLE PRECISION, idle_since DOUBLE PRECISION,
        failures BIGINT NOT NULL, retry_at DOUBLE PRECISION, blocked TEXT, problem TEXT, kept TEXT,
        leaving DOUBLE PRECISION
    )""",
    "CREATE UNIQUE INDEX one_living_deployment ON deployments (name) WHERE ended IS NULL",
    """CREATE TABLE nodes (
        node TEXT PRIMARY KEY, uid TEXT NOT NULL, rank BIGINT NOT NULL, address TEXT NOT NULL,
        state TEXT NOT NULL, token_hash TEXT, boot_id TEXT, created DOUBLE PRECISION NOT NULL,
        joined DOUBLE PRECISION, last_seen DOUBLE PRECISION, gone DOUBLE PRECISION, revoked TEXT,
        notice_until DOUBLE PRECISION, version BIGINT NOT NULL, desired TEXT NOT NULL, acked BIGINT NOT NULL
    )""",
    "CREATE INDEX nodes_of_deployment ON nodes (uid)",
    """CREATE TABLE runs (
        uid TEXT NOT NULL, run BIGINT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, call TEXT,
        status TEXT NOT NULL,
        attempt BIGINT NOT NULL, go TEXT NOT NULL, stopping TEXT, recoveries BIGINT NOT NULL,
        preemptions BIGINT NOT NULL, lost_work_s DOUBLE PRECISION NOT NULL, submitted DOUBLE PRECISION NOT NULL,
        started DOUBLE PRECISION, going_since DOUBLE PRECISION, ended DOUBLE PRECISION, exit_code BIGINT,
        reason TEXT, failed_rank BIGINT, failed_at DOUBLE PRECISION, losses TEXT NOT NULL, progress TEXT,
        progress_at DOUBLE PRECISION, PRIMARY KEY (uid, run)
    )""",
    """CREATE TABLE run_ranks (
        uid TEXT NOT NULL, run BIGINT NOT NULL, attempt BIGINT NOT NULL, rank BIGINT NOT NULL,
        node TEXT NOT NULL, phase TEXT NOT NULL, exit_code BIGINT, signal BIGINT, oom BOOLEAN NOT NULL,
        message TEXT, log_setup BIGINT, log_run BIGINT, changed DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (uid, run, attempt, rank)
    )""",
    """CREATE TABLE operations (
        id TEXT PRIMARY KEY, uid TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL, lost TEXT NOT NULL,
        purge BOOLEAN NOT NULL, state TEXT NOT NULL, tries BIGINT NOT NULL, consumed BIGINT NOT NULL,
        started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, result TEXT
    )""",
    "CREATE INDEX operations_of_deployment ON operations (uid)",
    """CREATE TABLE timeline (
        uid TEXT NOT NULL, seq BIGINT NOT NULL, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL,
        text TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (uid, seq)
    )""",
    """CREATE TABLE node_events (
        node TEXT NOT NULL, seq BIGINT NOT NULL, at DOUBLE PRECISION NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (node, seq)
    )""",
    "CREATE TABLE secrets (scope TEXT PRIMARY KEY, sealed TEXT NOT NULL)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
