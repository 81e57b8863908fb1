"""Deployments keep their task, and what a change that is not applied yet found."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE deployments ADD COLUMN task TEXT",
    "ALTER TABLE deployments ADD COLUMN before TEXT",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
