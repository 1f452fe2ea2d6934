"""Keys may expire, and the contents of items may be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds columns that code of before leaves empty."""
    op.add_column("keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("items", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
