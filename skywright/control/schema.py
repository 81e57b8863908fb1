"""The control store's tables as SQL that SQLite and PostgreSQL both understand: MIGRATIONS, oldest first."""

from __future__ import annotations

FIRST = (
    """CREATE TABLE deployments (
        uid TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, owner TEXT NOT NULL, cloud TEXT NOT NULL,
        wanted TEXT NOT NULL, stage TEXT NOT NULL, place TEXT NOT NULL, market TEXT NOT NULL,
        hourly DOUBLE PRECISION NOT NULL, spec TEXT NOT NULL, digest TEXT NOT NULL, applied TEXT,
        envelope TEXT, keep BOOLEAN NOT NULL, idle_s DOUBLE PRECISION, stop_down BOOLEAN NOT NULL,
        retry BOOLEAN NOT NULL, purge BOOLEAN NOT NULL, created DOUBLE PRECISION NOT NULL,
        up_since DOUBLE PRECISION, ended DOUBLE PRECISION, idle_since DOUBLE PRECISION,
        failures INTEGER NOT NULL, retry_at DOUBLE PRECISION, blocked TEXT, problem TEXT, kept TEXT,
        leaving DOUBLE PRECISION
    )""",
    "CREATE UNIQUE INDEX one_living_deployment ON deployments (name) WHERE ended IS NULL",
    """CREATE TABLE nodes (
        node TEXT PRIMARY KEY, uid TEXT NOT NULL, rank INTEGER NOT NULL, address TEXT NOT NULL,
        state TEXT NOT NULL, token_hash TEXT, boot_id TEXT, created DOUBLE PRECISION NOT NULL,
        joined DOUBLE PRECISION, last_seen DOUBLE PRECISION, gone DOUBLE PRECISION, revoked TEXT,
        notice_until DOUBLE PRECISION, version INTEGER NOT NULL, desired TEXT NOT NULL, acked INTEGER NOT NULL
    )""",
    "CREATE INDEX nodes_of_deployment ON nodes (uid)",
    """CREATE TABLE runs (
        uid TEXT NOT NULL, run INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, call TEXT,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL, go TEXT NOT NULL, stopping TEXT, recoveries INTEGER NOT NULL,
        preemptions INTEGER NOT NULL, lost_work_s DOUBLE PRECISION NOT NULL, submitted DOUBLE PRECISION NOT NULL,
        started DOUBLE PRECISION, going_since DOUBLE PRECISION, ended DOUBLE PRECISION, exit_code INTEGER,
        reason TEXT, failed_rank INTEGER, failed_at DOUBLE PRECISION, losses TEXT NOT NULL, progress TEXT,
        progress_at DOUBLE PRECISION, PRIMARY KEY (uid, run)
    )""",
    """CREATE TABLE run_ranks (
        uid TEXT NOT NULL, run INTEGER NOT NULL, attempt INTEGER NOT NULL, rank INTEGER NOT NULL,
        node TEXT NOT NULL, phase TEXT NOT NULL, exit_code INTEGER, signal INTEGER, oom BOOLEAN NOT NULL,
        message TEXT, log_setup INTEGER, log_run INTEGER, changed DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (uid, run, attempt, rank)
    )""",
    """CREATE TABLE operations (
        id TEXT PRIMARY KEY, uid TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL, lost TEXT NOT NULL,
        purge BOOLEAN NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL, consumed BIGINT NOT NULL,
        started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, result TEXT
    )""",
    "CREATE INDEX operations_of_deployment ON operations (uid)",
    """CREATE TABLE timeline (
        uid TEXT NOT NULL, seq INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL,
        text TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (uid, seq)
    )""",
    """CREATE TABLE node_events (
        node TEXT NOT NULL, seq INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (node, seq)
    )""",
    "CREATE TABLE secrets (scope TEXT PRIMARY KEY, sealed TEXT NOT NULL)",
)

SECOND = (
    "ALTER TABLE deployments ADD COLUMN task TEXT",
    "ALTER TABLE deployments ADD COLUMN before TEXT",
)

THIRD = (
    "ALTER TABLE deployments ADD COLUMN choices TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE deployments ADD COLUMN tries TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE deployments ADD COLUMN outgoing TEXT",
    "ALTER TABLE deployments ADD COLUMN move TEXT",
    "ALTER TABLE operations ADD COLUMN cleans BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE nodes ADD COLUMN hourly DOUBLE PRECISION",
)

FOURTH = ("ALTER TABLE deployments ADD COLUMN delivered TEXT",)

FIFTH = (
    "ALTER TABLE nodes ADD COLUMN stopped DOUBLE PRECISION",
    "ALTER TABLE nodes ADD COLUMN paused_s DOUBLE PRECISION",
)

SIXTH = ("ALTER TABLE deployments ADD COLUMN policy TEXT",)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH)
"""Step n leads from schema version n to n + 1. A step that was released is never changed: add another."""
