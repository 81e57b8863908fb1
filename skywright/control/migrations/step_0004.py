"""Deployments know what was put into the cloud's own secret store."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = ("ALTER TABLE deployments ADD COLUMN delivered TEXT",)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
