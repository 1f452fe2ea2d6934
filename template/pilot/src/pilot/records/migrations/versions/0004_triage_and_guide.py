"""Flags of outcomes are looked at by somebody, and reviewers have read the user guide."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds columns that code of before leaves empty."""
    op.add_column("outcomes", sa.Column("triaged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("keys", sa.Column("guide", sa.String(16), nullable=True))
