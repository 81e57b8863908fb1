"""Nodes that are stopped and started again."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE nodes ADD COLUMN stopped DOUBLE PRECISION",
    "ALTER TABLE nodes ADD COLUMN paused_s DOUBLE PRECISION",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
