"""Whether what comes in, and what is answered, is still what it was while the pilot was judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from math import expm1, log1p
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, select

from pilot.contract import Team
from pilot.fields import FieldType, fields_of, one_label, present, shown
from pilot.frontmatter import midnight
from pilot.models.text import words
from pilot.records.crypto import Vault
from pilot.records.tables import answers, items
from pilot.workbench.stats.comparisons import holm
from pilot.workbench.stats.shift import ALPHA, LEAST_DAYS, LEAST_ITEMS, Shift, Window, of_means, of_shares

# How many items are named as examples of a shift.
EXAMPLES = 3
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Seen:
    """A live item: when it came, its contents, and what was answered, with which confidence, where there is one."""

    id: str
    day: int
    content: Any
    answer: Any
    confidence: float | None


@dataclass(frozen=True)
class Finding:
    """What was compared, by the field and what of it; the shift, or none where there was too little to compare; the
    p-value, adjusted for all of them; and items of now that show it."""

    field: str
    what: str
    shift: Shift | None
    p: float
    examples: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether it changed, beyond chance and by as much as matters."""
        return self.shift is not None and self.p < ALPHA and self.shift.matters


@dataclass(frozen=True)
class Span:
    """The days of a window, the first and the last, and how many items came on how many of them."""

    begins: date
    ends: date
    items: int
    days: int

    @property
    def enough(self) -> bool:
        """Whether a shift of half a standard deviation would be found."""
        return self.items >= LEAST_ITEMS and self.days >= LEAST_DAYS


@dataclass(frozen=True)
class Drift:
    """Both windows and what was found; nothing is looked at while either has too few items."""

    reference: Span
    present: Span
    findings: tuple[Finding, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether there were items enough to look."""
        return self.reference.enough and self.present.enough

    @property
    def drifted(self) -> list[Finding]:
        """What changed."""
        return [finding for finding in self.findings if finding.drifted]


def look(team: Team, connection: Connection, vault: Vault, begun: date, weeks: int, today: date, days: int) -> Drift:
    """Compares the last `days` days before `today` with the `weeks` of the pilot from the day `begun` on, in UTC."""
    present = (today - timedelta(days=days), today)
    reference = (begun, min(begun + timedelta(weeks=weeks), present[0]))
    before, now = (list(_seen(team, connection, vault, *span)) for span in (reference, present))
    spans = [_span(*span, seen) for span, seen in ((reference, before), (present, now))]
    found = Drift(spans[0], spans[1])
    if not found.enough:
        return found
    made = list(_compared(team, before, now))
    adjusted = iter(holm([shift.p for _, _, shift, _ in made if shift is not None]))
    findings = [
        Finding(field, what, shift, 1.0 if shift is None else next(adjusted), examples)
        for field, what, shift, examples in made
    ]
    return Drift(spans[0], spans[1], tuple(findings))


def _seen(team: Team, connection: Connection, vault: Vault, begins: date, ends: date) -> Iterator[Seen]:
    """The live items that came on these days, without those whose contents were erased."""
    rows = connection.execute(
        select(items.c.id, items.c.received_at, items.c.content, answers.c.prediction, answers.c.confidence)
        .outerjoin(answers, (answers.c.item_id == items.c.id) & (answers.c.role == "primary"))
        .where(items.c.origin == "live", items.c.erased_at.is_(None))
        .where(items.c.received_at >= midnight(begins), items.c.received_at < midnight(ends))
        .order_by(items.c.seq)
    )
    for row in rows:
        answer = None
        if row.prediction is not None:
            answer = team.prediction.model_validate_json(vault.open(row.prediction))
        content = team.item.model_validate_json(vault.open(row.content))
        yield Seen(row.id, row.received_at.toordinal(), content, answer, row.confidence)


def _span(begins: date, ends: date, seen: Sequence[Seen]) -> Span:
    return Span(begins, ends - timedelta(days=1), len(seen), len({one.day for one in seen}))


Compared = tuple[str, str, Shift | None, tuple[str, ...]]


def _compared(team: Team, before: list[Seen], now: list[Seen]) -> Iterator[Compared]:
    """Each field of the item by what it holds, then that of the answers, and their confidence."""
    for name, field in fields_of(team.item).items():
        yield from _of_field(name, field, before, now, lambda one: one.content)
    if one_label(team.prediction):
        yield _by_share("answer", "shares of the labels", before, now, lambda one: one.answer and shown(one.answer))
    else:
        for name, field in fields_of(team.prediction).items():
            yield from _of_field(f"answer.{name}", field, before, now, lambda one: one.answer)
    yield _by_mean("answer", "confidence", before, now, lambda one: one.confidence)


def _of_field(
    title: str, field: FieldType, before: list[Seen], now: list[Seen], source: Callable[[Seen], Any]
) -> Iterator[Compared]:
    """What can be compared of a field; nothing of one whose type has neither a mean nor shares."""

    def of(measure: Callable[[Any], Any], absent: Any = None) -> Callable[[Seen], Any]:
        """A measure of the field's value; `absent` where it is empty, and none where there is nothing to look at."""

        def value(one: Seen) -> Any:
            if (found := source(one)) is None:
                return None
            held = getattr(found, field.name)
            return absent if held is None else measure(held)

        return value

    if field.optional and title != field.name:
        yield _by_mean(title, "share that is filled in", before, now, of(lambda value: float(present(value)), 0.0))
    if field.many:
        yield _by_mean(title, "mean number of elements", before, now, of(len))
    elif field.choices or field.kind is bool:
        yield _by_share(title, "shares", before, now, of(str))
    elif field.kind is str:
        _, _, shift, examples = _by_mean(title, "", before, now, of(lambda text: log1p(len(text))))
        if shift is not None:  # back from logarithms to characters
            shift = replace(shift, before=expm1(shift.before), now=expm1(shift.now))
        yield title, "typical length in characters", shift, examples
        unknown = _unknown(before, of(lambda text: words(text).split()))
        yield _by_mean(title, "share of words that were not seen before", before, now, unknown)
    elif field.number and issubclass(field.kind, int | float | Decimal):
        yield _by_mean(title, "mean", before, now, of(float))


def _by_mean(
    field: str, what: str, before: list[Seen], now: list[Seen], value: Callable[[Seen], float | None]
) -> Compared:
    if (windows := _windows(before, now, value)) is None:
        return field, what, None, ()
    shift = of_means(*(Window(np.array([v for _, v in held]), np.array([o.day for o, _ in held])) for held in windows))
    outermost = sorted(windows[1], key=lambda pair: pair[1], reverse=shift.now > shift.before)
    return field, what, shift, tuple(one.id for one, _ in outermost[:EXAMPLES])


def _by_share(
    field: str, what: str, before: list[Seen], now: list[Seen], label: Callable[[Seen], str | None]
) -> Compared:
    if (windows := _windows(before, now, label)) is None:
        return field, what, None, ()
    shift = of_shares(*(([found for _, found in held], [one.day for one, _ in held]) for held in windows))
    examples = [one.id for one, found in windows[1] if shift is not None and found == shift.label]
    return field, what, shift, tuple(examples[:EXAMPLES])


def _windows(
    before: list[Seen], now: list[Seen], value: Callable[[Seen], V | None]
) -> list[list[tuple[Seen, V]]] | None:
    """The items of each window that have the value, with it; None where either has too few of them."""
    windows = [[(one, found) for one in seen if (found := value(one)) is not None] for seen in (before, now)]
    enough = (len(held) >= LEAST_ITEMS and len({one.day for one, _ in held}) >= LEAST_DAYS for held in windows)
    return windows if all(enough) else None


def _unknown(reference: list[Seen], words_of: Callable[[Seen], list[str] | None]) -> Callable[[Seen], float | None]:
    """The share of an item's words that no other day of the reference has. A day of the reference is left out for the
    items of now too, each in turn, so that both are measured by as many words."""
    days: dict[str, set[int]] = defaultdict(set)
    for one in reference:
        for word in set(words_of(one) or ()):
            days[word].add(one.day)
    there = sorted({one.day for one in reference})
    turn: Counter[str] = Counter()

    def share(one: Seen) -> float | None:
        found = words_of(one)
        if not found:
            return None
        left_out = one.day
        if one.day > there[-1]:
            left_out = there[turn["now"] % len(there)]
            turn["now"] += 1
        return sum(not days[word] - {left_out} if word in days else True for word in found) / len(found)

    return share
