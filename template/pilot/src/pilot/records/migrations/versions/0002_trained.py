"""Answers say whether their model had learned from the very item."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column, which code of before leaves empty."""
    op.add_column("answers", sa.Column("trained", sa.Boolean(), nullable=True))
