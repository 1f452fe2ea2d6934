"""One person, no team: whether a name and an address are those of one."""

from __future__ import annotations

import re

from pilot.workbench.documents.model import is_placeholder

# What is wrong, and what fixes it.
Fault = tuple[str, str]
# Words of a name or of the part of an address before the @ that tell of more than one person.
_GROUPS = set(
    re.findall(
        r"\w+",
        "all board chapter committee contact council department dept everyone group guild helpdesk hello info list "
        "mail management members office ops owners people squad staff support team teams unit",
    )
)
_TWO_NAMES = re.compile(r"[,;/&+|@]|\b(and|und|or)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]{2,}")


def name_fault(name: str | None) -> Fault | None:
    """Why `name` is not the name of one person; None where it is."""
    if is_placeholder(name):
        return "is empty.", "Write the name of one person."
    if _TWO_NAMES.search(name or "") or _tokens(name or "") & _GROUPS:
        return f"{name!r} is not one person.", "Name one person, no team and no second name."
    return None


def mail_fault(mail: str | None) -> Fault | None:
    """Why `mail` is not the address of one person; None where it is."""
    if is_placeholder(mail):
        return "is empty.", "Write the person's own address."
    if not _ADDRESS.fullmatch(mail or "") or _tokens((mail or "").split("@")[0]) & _GROUPS:
        return f"{mail!r} is not one person's address.", "Write the person's own address, no list."
    return None


def _tokens(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))
