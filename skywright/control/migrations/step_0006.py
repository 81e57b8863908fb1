"""Deployments keep the policy of their newest launch."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = ("ALTER TABLE deployments ADD COLUMN policy TEXT",)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
