"""Two model versions on the same judged items: what each answered, or would have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from pilot.contract import Answer, PilotError, Prediction, Team
from pilot.fields import Draft, Match, Scored, fields_of, one_label, scores
from pilot.models.store import replayed, store_of
from pilot.records.crypto import Vault
from pilot.records.outcomes import agreement
from pilot.records.tables import items
from pilot.settings import Settings
from pilot.workbench import columns
from pilot.workbench.evaluation import Versus, versus
from pilot.workbench.stats import comparisons, estimates
from pilot.workbench.stats.data import Estimate


@dataclass(frozen=True)
class Answered:
    """What both versions answered to a judged item (None: a failure), what was decided, and which was right (1)."""

    item_id: str
    first: Prediction | None
    second: Prediction | None
    final: Prediction
    first_right: float
    second_right: float


@dataclass(frozen=True)
class Compared:
    """The share of each version's answers that agree with people, and the paired difference, first less second; and the
    same of the mean cost and seconds of the answers that both recorded, by name. `learned` items are left out, because
    one of the versions had learned from them. Of answers that are more than one label, `graded` is how right they are:
    the mean score of the fields that an item has; and `fields` has every field by the name of its metric."""

    first: Estimate
    versus: Versus
    how_first: str
    how_second: str
    means: dict[str, Versus]
    learned: int
    pairs: tuple[Answered, ...] = ()
    graded: Versus | None = None
    fields: Mapping[str, Versus] = field(default_factory=dict)


def compare(
    team: Team,
    settings: Settings,
    connection: Connection,
    vault: Vault,
    first: str,
    second: str,
    given: Mapping[str, Answer] | None = None,
) -> Compared:
    """The versions `first` and `second` on all live items with a final decision that both have an answer to: the one
    that was recorded, or, for a version of a model store, the one that it answers now. `given` is what `first` was
    asked just now, by item, and then only those items count.

    Raises PilotError where there is no such item, or a record cannot be opened.
    """
    finals: dict[str, Prediction] = {}
    learned: set[str] = set()
    groups: dict[str, str | None] = {}
    recorded: dict[str, dict[str, Prediction | None]] = {}
    numbers: dict[tuple[str, str], dict[str, float]] = {}
    for pair in columns.read_pairs(connection, vault, team.prediction, role=None):
        finals[pair.item_id], groups[pair.item_id] = pair.final, pair.group
        recorded.setdefault(pair.version, {})[pair.item_id] = pair.answer
        if pair.trained and pair.version in (first, second):
            learned.add(pair.item_id)
        for name, value in (("cost", pair.cost), ("seconds", pair.seconds)):
            if value is not None and pair.answer is not None:
                numbers.setdefault((pair.version, name), {})[pair.item_id] = value
    if first == second:
        raise PilotError(f"{first} is compared with itself. Name two versions: {', '.join(sorted(recorded))}.")

    def answers(version: str) -> tuple[dict[str, Prediction | None], str]:
        return _answers(team, settings, connection, vault, version, finals, recorded, learned)

    if given is None:
        ours, how_ours = answers(first)
    else:
        ours, how_ours = {item: answer.prediction for item, answer in given.items()}, f"{len(given)} given now"
        learned |= {item for item, answer in given.items() if answer.trained}
    theirs, how_theirs = answers(second)
    both = [item for item in finals if item in ours and item in theirs]
    fair = [item for item in both if item not in learned]
    if both and not fair:
        raise PilotError(
            f"{first} or {second} had learned from each of the {len(both)} items that both have an answer to, so they "
            "prove nothing. Compare them on items of later."
        )
    left_out, both = len(both) - len(fair), fair
    if not both:
        raise PilotError(
            f"No judged live item has an answer of both {first} and {second}. Recorded versions: "
            f"{', '.join(sorted(recorded)) or 'none'}."
        )
    right, other = ([agreement(held[item], finals[item]) for item in both] for held in (ours, theirs))
    codes = [groups[item] for item in both]
    found = comparisons.paired_shares(right, other, codes if any(codes) else None)
    means = {}
    for name in ("cost", "seconds"):
        one, two = numbers.get((first, name), {}), numbers.get((second, name), {})
        shared = [item for item in both if item in one and item in two]
        if shared:
            means[name] = _means([one[i] for i in shared], [two[i] for i in shared], [groups[i] for i in shared])
    paired = versus(estimates.share(other), found, "up")
    pairs = tuple(
        Answered(item, ours[item], theirs[item], finals[item], float(mine), float(its))
        for item, mine, its in zip(both, right, other, strict=True)
    )
    graded, fields = None, {}
    if not one_label(team.prediction):
        held = [(ours[item], theirs[item], finals[item]) for item in both]
        scored = [
            (scores(one, final, team.prediction), scores(two, final, team.prediction)) for one, two, final in held
        ]
        grouped = codes if any(codes) else None
        graded, fields = _graded(scored, grouped), dict(_by_field(team.prediction, scored, grouped))
    return Compared(estimates.share(right), paired, how_ours, how_theirs, means, left_out, pairs, graded, fields)


Scores = list[tuple[dict[str, Scored], dict[str, Scored]]]


def _graded(scored: Scores, groups: list[str | None] | None) -> Versus:
    """The mean score of the fields that an item has."""

    def of(found: dict[str, Scored]) -> float:
        held = [one.score for one in found.values() if one.match is not Match.EMPTY]
        return sum(held) / len(held) if held else 1.0

    first, second = ([of(pair[arm]) for pair in scored] for arm in (0, 1))
    return versus(estimates.ratio(second, np.ones(len(second))), comparisons.paired_means(first, second, groups), "up")


def _by_field(kind: type[Prediction], scored: Scores, groups: list[str | None] | None) -> Iterator[tuple[str, Versus]]:
    """Every field: how many items have it right, how much of a draft stays, and how far off a number is where both
    gave one."""
    for name, one in fields_of(kind).items():
        pairs = [(first[name], second[name]) for first, second in scored]
        if isinstance(one.comparison, Draft):
            kept, others = ([pair[arm].score for pair in pairs] for arm in (0, 1))
            found = comparisons.paired_means(kept, others, groups)
            yield f"edit_similarity:{name}", versus(estimates.mean(others, groups), found, "up")
            continue
        right, other = ([float(pair[arm].match.agrees) for pair in pairs] for arm in (0, 1))
        yield f"accuracy:{name}", versus(estimates.share(other), comparisons.paired_shares(right, other, groups), "up")
        both = [place for place, pair in enumerate(pairs) if pair[0].error is not None and pair[1].error is not None]
        if one.number and both:
            off, its = ([pairs[place][arm].error or 0.0 for place in both] for arm in (0, 1))
            yield f"absolute_error:{name}", _means(off, its, [groups[place] if groups else None for place in both])


def _means(ours: list[float], theirs: list[float], groups: list[str | None]) -> Versus:
    """The paired means, of which less is better."""
    found = comparisons.paired_means(ours, theirs, groups if any(groups) else None)
    return versus(estimates.mean(theirs), found, "down")


def _answers(
    team: Team,
    settings: Settings,
    connection: Connection,
    vault: Vault,
    version: str,
    finals: dict[str, Prediction],
    recorded: dict[str, dict[str, Prediction | None]],
    learned: set[str],
) -> tuple[dict[str, Prediction | None], str]:
    """The version's answers, and how they were had; adds to `learned` what it had learned from."""
    known = recorded.get(version, {})
    if len(known) == len(finals) or store_of(settings, version) is None:
        return known, f"{len(known)} recorded answers"
    wanted = [item for item in finals if item not in known]
    contents = _contents(team, connection, vault, set(wanted))
    given = replayed(team, settings, version, [contents[item] for item in wanted])
    made = {item: answer.prediction for item, answer in zip(wanted, given, strict=True)}
    learned |= {item for item, answer in zip(wanted, given, strict=True) if answer.trained}
    return {**known, **made}, f"{len(known)} recorded answers, {len(made)} given now"


def _contents(team: Team, connection: Connection, vault: Vault, wanted: set[str]) -> dict[str, Any]:
    rows = connection.execute(select(items.c.id, items.c.content).where(items.c.origin == "live"))
    return {id: team.item.model_validate_json(vault.open(content)) for id, content in rows if id in wanted}
