"""Replicas of one control, and which of them looks after which deployment."""

from alembic import op
from sqlalchemy import Column, Double, Text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "replicas",
        Column("id", Text, primary_key=True),
        Column("url", Text, nullable=False),
        Column("who", Text, nullable=False),
        Column("until", Double, nullable=False),
    )
    op.create_table(
        "leases",
        Column("uid", Text, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("since", Double, nullable=False),
    )
