"""Answers may have an interval for each number."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the column, which code of before leaves empty."""
    op.add_column("answers", sa.Column("intervals", sa.LargeBinary(), nullable=True))
