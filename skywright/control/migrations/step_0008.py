"""The ledger: accounts, spans of nodes, runs and attempts; with what was spent before, as far as it was known."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "ALTER TABLE deployments ADD COLUMN rates TEXT",
    "ALTER TABLE deployments ADD COLUMN budget TEXT",
    """CREATE TABLE ledger_accounts (
        uid TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, owner TEXT NOT NULL, task TEXT NOT NULL,
        cloud TEXT NOT NULL, opened DOUBLE PRECISION NOT NULL, closed DOUBLE PRECISION
    )""",
    """CREATE TABLE ledger_spans (
        node TEXT NOT NULL, number BIGINT NOT NULL, uid TEXT NOT NULL, rank BIGINT NOT NULL, cloud TEXT NOT NULL,
        place TEXT NOT NULL, market TEXT NOT NULL, began DOUBLE PRECISION NOT NULL, state TEXT NOT NULL,
        hourly DOUBLE PRECISION NOT NULL, disk DOUBLE PRECISION NOT NULL, address DOUBLE PRECISION NOT NULL,
        on_demand DOUBLE PRECISION, listed DOUBLE PRECISION, ended DOUBLE PRECISION, PRIMARY KEY (node, number)
    )""",
    "CREATE INDEX ledger_spans_of_deployment ON ledger_spans (uid)",
    """CREATE TABLE ledger_runs (
        uid TEXT NOT NULL, run BIGINT NOT NULL, name TEXT NOT NULL, submitted DOUBLE PRECISION NOT NULL,
        estimate TEXT, ended DOUBLE PRECISION, status TEXT, PRIMARY KEY (uid, run)
    )""",
    """CREATE TABLE ledger_attempts (
        uid TEXT NOT NULL, run BIGINT NOT NULL, attempt BIGINT NOT NULL, nodes BIGINT NOT NULL,
        began DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, how TEXT, lost_s DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (uid, run, attempt)
    )""",
    """INSERT INTO ledger_accounts (uid, name, project, owner, task, cloud, opened, closed)
        SELECT uid, name, project, owner, name, cloud, created, ended FROM deployments""",
    """INSERT INTO ledger_spans
        (node, number, uid, rank, cloud, place, market, began, state, hourly, disk, address, ended)
        SELECT n.node, 1, n.uid, n.rank, d.cloud, d.place, d.market, n.created + COALESCE(n.paused_s, 0), 'running',
        COALESCE(n.hourly, d.hourly / (SELECT COUNT(DISTINCT m.rank) FROM nodes m WHERE m.uid = n.uid)), 0, 0,
        COALESCE(n.stopped, n.gone) FROM nodes n JOIN deployments d ON d.uid = n.uid""",
    """INSERT INTO ledger_runs (uid, run, name, submitted, ended, status)
        SELECT uid, run, name, submitted, ended, CASE WHEN ended IS NULL THEN NULL ELSE status END FROM runs""",
    """INSERT INTO ledger_attempts (uid, run, attempt, nodes, began, ended, how, lost_s)
        SELECT r.uid, r.run, r.attempt,
        (SELECT COUNT(*) FROM run_ranks s WHERE s.uid = r.uid AND s.run = r.run AND s.attempt = r.attempt),
        r.started, r.ended, CASE WHEN r.ended IS NULL THEN NULL ELSE r.status END, r.lost_work_s
        FROM runs r WHERE r.attempt > 0 AND r.started IS NOT NULL""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
