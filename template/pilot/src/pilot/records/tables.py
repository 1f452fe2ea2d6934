"""The record: one envelope of tables, fixed from the first day. `migrations/` brings a database to it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    literal_column,
)


class Status(StrEnum):
    """What became of an item, as its caller was answered."""

    RECORDED = "recorded"
    ANSWERED = "answered"
    NEEDS_HUMAN = "needs_human"


class Review(StrEnum):
    """How a person is asked about an item; none where nobody is. An audit is blind too, of an item in auto."""

    BLIND = "blind"
    ASSIST = "assist"
    MANUAL = "manual"
    AUDIT = "audit"


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is taken off there and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# What a request brought. Contents here and below are sealed when a data key is set; `content_key` then names the key.
items = Table(
    "items",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("caller", String(200), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("idempotency_key", String(200)),
    Column("source_id", String(200)),
    Column("fingerprint", String(64), nullable=False),
    Column("subject", String(64)),
    Column("group", String(200)),
    Column("origin", String(16), nullable=False),
    Column("arrived_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("content_key", String(16)),
    Column("mode", String(8), nullable=False),
    Column("rollout_version", Integer),
    Column("state", String(8), nullable=False),  # pending, then done
    Column("lease_owner", String(36)),
    Column("lease_until", Instant),
    Column("review", String(8)),  # a Review
    Column("status", String(16)),  # a Status
    Column("reason", String(64)),
    Column("response", LargeBinary),
    Column("erased_at", Instant),  # when its contents were taken out; what is left is who was answered how, and when
    UniqueConstraint("caller", "idempotency_key"),
    UniqueConstraint("caller", "source_id"),
)
# A literal, not a parameter: only so does a query that asks for it use the partial index.
PENDING = items.c.state == literal_column("'pending'")
Index("ix_items_pending", items.c.lease_until, postgresql_where=PENDING, sqlite_where=PENDING)
Index("ix_items_origin_received", items.c.origin, items.c.received_at)
Index("ix_items_caller_seq", items.c.caller, items.c.seq)

# What was answered, by whom, and whether anybody saw it.
answers = Table(
    "answers",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("item_id", ForeignKey("items.id"), nullable=False),
    Column("role", String(16), nullable=False),  # primary, rules, challenger
    Column("source", String(8), nullable=False),  # model, process
    Column("prediction", LargeBinary),
    Column("confidence", Float),
    Column("confidences", Text),  # of single fields, as JSON; none where there is one for the whole alone
    Column("intervals", LargeBinary),  # of numbers, by field, as JSON
    Column("model_version", String(200), nullable=False),
    Column("config_hash", String(16), nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("cost", Float),
    Column("tokens", Integer),
    Column("failure", String(64)),
    Column("shown", Boolean, nullable=False),
    Column("audit_probability", Float),
    Column("trained", Boolean),  # whether the model had learned from this very item; none where it does not know
    UniqueConstraint("item_id", "role"),
)

# What people or the process decided in the end. A change is a new version, never an overwrite.
outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("item_id", ForeignKey("items.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("final", LargeBinary),
    Column("made_by", String(200), nullable=False),
    Column("seconds", Float),
    Column("action", String(16)),  # accepted, changed, rejected; none where the review was blind
    Column("flag", String(32)),
    Column("comment", LargeBinary),
    Column("agreement", Boolean),  # of the primary answer; in clear, so that sums need no decryption
    Column("rules_agreement", Boolean),
    Column("at", Instant, nullable=False),
    Column("triaged_at", Instant),  # when somebody looked at its flag
    UniqueConstraint("item_id", "version"),
)

# What a caller reported about an item, or a person without a decision.
reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("item_id", ForeignKey("items.id"), nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("flag", String(32), nullable=False),
    Column("comment", LargeBinary),
    Column("at", Instant, nullable=False),
    Column("triaged_at", Instant),  # when somebody looked at it
)
Index("ix_reports_item_id", reports.c.item_id)

# Rows of files that were refused, without their contents.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", String(200), nullable=False),
    Column("row_id", String(80), nullable=False),
    Column("line", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("source", "row_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("event", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("expires_at", Instant),
    Column("guide", String(16)),  # the version of the user guide that its holder read last
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("key_id", ForeignKey("keys.id"), nullable=False),
    Column("expires_at", Instant, nullable=False),
)

settings_in_force = Table(
    "settings_in_force",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", String(200), nullable=False),
)
