"""How the service stands that wrote the records: what can be seen of its mode, keys, database and audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from pilot.records import audit, controls
from pilot.records.keys import ROLES
from pilot.records.tables import items, keys, outcomes


@dataclass(frozen=True, slots=True)
class Standing:
    """The mode in force; whether the database is `embedded` in one process; how many live items are kept `in_clear`,
    without encryption; whether a `single_reviewer` made all decisions on live items; the `roles` without a key in
    force; the number of the first entry of the audit trail that does not hold, or None."""

    mode: str
    embedded: bool
    in_clear: int
    single_reviewer: bool
    keyless_roles: tuple[str, ...]
    audit_break: int | None


def standing(connection: Connection) -> Standing:
    """The service behind the connection. Reads the whole audit trail, which takes seconds where it is long."""
    of_live = items.c.origin == "live"
    in_clear = select(func.count()).select_from(items).where(of_live, items.c.content_key.is_(None))
    made = select(outcomes.c.made_by).join(items, items.c.id == outcomes.c.item_id).where(of_live).distinct()
    deciders = set(connection.execute(made).scalars())
    people = set(connection.execute(select(keys.c.name).where(keys.c.role == "reviewer")).scalars())
    held = set(connection.execute(select(keys.c.role).where(keys.c.revoked_at.is_(None))).scalars())
    return Standing(
        mode=controls.mode(connection).value,
        embedded=connection.dialect.name == "sqlite",
        in_clear=connection.execute(in_clear).scalar_one(),
        # A caller's key stands for a system, behind which any number of people may decide.
        single_reviewer=len(deciders) == 1 and deciders <= people,
        keyless_roles=tuple(role for role in ROLES if role not in held),
        audit_break=audit.first_break(connection),
    )
