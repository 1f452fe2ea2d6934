"""Flags of outcomes are looked at by somebody."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds a column that code of before leaves empty."""
    op.add_column("outcomes", sa.Column("triaged_at", sa.DateTime(timezone=True), nullable=True))
