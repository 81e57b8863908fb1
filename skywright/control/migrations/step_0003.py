"""Failover: placements of an order, what was tried, stacks on their way out, and the price of each node."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE deployments ADD COLUMN choices TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE deployments ADD COLUMN tries TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE deployments ADD COLUMN outgoing TEXT",
    "ALTER TABLE deployments ADD COLUMN move TEXT",
    "ALTER TABLE operations ADD COLUMN cleans BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE nodes ADD COLUMN hourly DOUBLE PRECISION",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
