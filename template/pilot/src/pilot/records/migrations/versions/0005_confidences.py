"""Answers may have a confidence for each field."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the column, which code of before leaves empty."""
    op.add_column("answers", sa.Column("confidences", sa.Text(), nullable=True))
