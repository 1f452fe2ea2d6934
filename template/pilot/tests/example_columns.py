"""Columns of live items as the records would give them, and a charter's facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np

from pilot.charter import Charter, Direction, Guardrail, Metric
from pilot.workbench.columns import UNKNOWN, Columns
from pilot.workbench.window import Window

DUE = date(2027, 3, 1)
WINDOW = Window(datetime(2027, 1, 18, tzinfo=UTC), DUE, DUE)
START = datetime(2027, 2, 1, 9, tzinfo=UTC).timestamp()
HOUR = 3600.0


def Rail(metric: str, direction: Direction, margin: float) -> Guardrail:
    return Guardrail(metric=metric, direction=direction, margin=margin)


class Facts(Charter):
    """A charter that has a target."""

    metric: Metric | None = "accuracy"
    target: float | None = 0.8
    interval: Literal["fixed", "always_valid"] | None = "fixed"


def columns(
    right: Sequence[Any],
    *,
    mode: str = "shadow",
    rules: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    hours: Sequence[float] | None = None,
    seconds: Sequence[float] | None = None,
    confidence: Sequence[float] | None = None,
    audits: Sequence[Any] | None = None,
    audit_share: float = 0.05,
    **others: Any,
) -> Columns:
    """An item for each of `right`: 1 or 0 where it was judged and the AI was right or wrong, None where it was not.

    `audits`: True for an answer that was used and drawn for an audit, False for one that was used and not drawn, None
    for one that a person decided. `hours` until the final outcome, `seconds` of people's work; NaN where not known.
    """
    n = len(right)
    judged = np.array([one is not None for one in right], dtype=bool)
    names: dict[str, int] = {}
    drawn = [None] * n if audits is None else list(audits)
    used = np.array([one is not None for one in drawn], dtype=bool)
    audited = np.array([one is True for one in drawn], dtype=bool)
    arrived = START + HOUR * np.arange(n)
    took = np.full(n, 2.0) if hours is None else np.array(hours, dtype=float)
    made = Columns(
        arrived_at=arrived,
        ended_at=np.where(judged | used, arrived + took * HOUR, np.nan),
        mode=np.zeros(n, "i"),
        asked=~used | audited,
        probability=np.where(used, audit_share, 1.0),
        audited=audited,
        judged=judged,
        agrees=_codes(right),
        agrees_at_last=_codes(right),
        shown=np.zeros(n, dtype=bool),
        trained=np.zeros(n, "i"),
        rules_agree=_codes([0 if one is not None else None for one in right] if rules is None else rules),
        failed=np.zeros(n, dtype=bool),
        confidence=np.full(n, 0.9) if confidence is None else np.array(confidence, dtype=float),
        cost=np.full(n, np.nan),
        answer_seconds=np.full(n, 0.1),
        touches=judged.astype("i"),
        work_seconds=np.where(judged, 60.0 if seconds is None else np.array(seconds, dtype=float), np.nan),
        version=np.zeros(n, "i"),
        group=np.array(
            [UNKNOWN if name is None else names.setdefault(str(name), len(names)) for name in groups or [None] * n], "i"
        ),
        modes=(mode,),
        versions=("one",),
        groups=tuple(names),
    )
    return replace(made, **others)


def reordered(given: Columns, order: Any) -> Columns:
    """The same items in another order, or some of them more than once."""
    return replace(
        given,
        **{
            one.name: value[order] for one in fields(given) if isinstance(value := getattr(given, one.name), np.ndarray)
        },
    )


def share(right: int, of: int, lost: int = 0) -> list[int | None]:
    """So many right of so many judged items, spread over their order, and `lost` ones without an outcome."""
    judged: list[int | None] = [int((k + 1) * right // of > k * right // of) for k in range(of)]
    return [*judged, *[None] * lost]


def _codes(values: Sequence[Any]) -> Any:
    return np.array([UNKNOWN if one is None else int(one) for one in values], "i")
