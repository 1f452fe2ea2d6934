"""A candidate for the model in force: how it is trained on what people decided, and what it must prove."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, select

from pilot.contract import Answer, Item, PilotError, Prediction, RemoteModel, Team, is_remote
from pilot.fields import Draft, fields_of, shown
from pilot.models.examples import lessons
from pilot.models.store import ModelStore, load_active
from pilot.records import controls
from pilot.records.crypto import Vault
from pilot.records.outcomes import is_final, latest
from pilot.records.tables import items, outcomes
from pilot.settings import Settings
from pilot.workbench import columns, versions
from pilot.workbench.stats.comparisons import holm, independent_shares, non_inferior, paired_shares
from pilot.workbench.stats.slices import MINIMUM

# By how much less than the incumbent a candidate may get right, at most: five points of a hundred.
MARGIN = 0.05
# Fewer judged items prove nothing of that.
LEAST = 60
# The latest part of the judged items is never learned from, so that it can judge.
HELD_OUT = 0.2
# A person with whom the version in force agrees by so much less often than with the others teaches nothing.
ODD = 0.2
# A model behind an API is asked for so many judged items at most.
MOST_ASKED = 200


@dataclass(frozen=True)
class Flip:
    """An item that the candidate answers otherwise, with what people decided."""

    item_id: str
    incumbent: str
    candidate: str
    final: str


@dataclass(frozen=True)
class Judgement:
    """A candidate beside the incumbent on the same judged items, and why it may not be promoted; empty where it may."""

    candidate: str
    incumbent: str
    compared: versions.Compared
    flips: tuple[Flip, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True)
class Retrained:
    """A candidate that is in the store and not in force: from how many rows, of when, how many were held out, and whose
    decisions were left out."""

    version: str
    rows: int
    begins: datetime
    ends: datetime
    held_out: int
    left_out: tuple[str, ...]


def incumbent(connection: Connection, settings: Settings) -> str:
    """The version that answers now. Raises ModelUnavailable where there is none."""
    return controls.model(connection) or load_active(settings).card.version


def judge(
    team: Team,
    settings: Settings,
    connection: Connection,
    vault: Vault,
    candidate: str,
    replay: Callable[[], Mapping[str, Answer]] | None = None,
) -> Judgement:
    """Compares a version of the store with the incumbent on all judged live items that neither has learned from.
    `replay` gives the candidate's answers to them by item; without it they are asked for here.

    It may be promoted where its share of right answers (of those with several fields, their mean score) is proven to be
    less than `MARGIN` below the incumbent's, and where it is proven worse in no slice by final decision (of `MINIMUM`
    items or more) and in no field, each with Holm's correction.

    Raises PilotError where it is in force already, is not in the store, or there is no item to compare on.
    """
    present = incumbent(connection, settings)
    if candidate == present:
        loads = (
            ""
            if controls.model(connection)
            else " A service that started before it was trained loads it at its next start."
        )
        raise PilotError(f"{candidate} is in force already.{loads}")
    given = replay() if replay else None
    compared = versions.compare(team, settings, connection, vault, candidate, present, given)
    return _judged_by(compared, candidate, present)


def _judged_by(compared: versions.Compared, candidate: str, present: str) -> Judgement:
    # Differences that are all the same have no interval of their mean, so the share of right items decides.
    graded = compared.graded if compared.graded and compared.graded.comparison.low is not None else None
    found, refusals = (graded or compared.versus).comparison, []
    what = "items" if graded is None else "of the fields"
    if found.n < LEAST:
        refusals.append(f"only {found.n} judged items can be compared, and {LEAST} are needed")
    elif not non_inferior(found, MARGIN, "up"):
        low = "an unknown share" if found.low is None else f"up to {-found.low:.1%}"
        refusals.append(f"it may get {low} fewer {what} right than {present}; less than {MARGIN:.0%} must be proven")
    refusals += _worse_slices(compared)
    refusals += _worse_fields(compared)
    flips = tuple(
        Flip(pair.item_id, shown(pair.second), shown(pair.first), shown(pair.final))
        for pair in compared.pairs
        if pair.first != pair.second
    )
    return Judgement(candidate, present, compared, flips, tuple(refusals))


@dataclass(frozen=True)
class Asked:
    """A prompt and a model name that were tried on judged items: how many were asked, of which days, and what that cost
    (None: not known)."""

    judgement: Judgement
    items: int
    begins: datetime
    ends: datetime
    cost: float | None


def ask(team: Team, settings: Settings, connection: Connection, vault: Vault, say: Callable[[str], Any]) -> Asked:
    """Asks the model behind the API, with the prompt and the name that are configured here, for the latest judged live
    items, 200 at most, and compares it with the version that answered them. Nothing is recorded.

    Raises PilotError where that is the version that answered, or too few items are judged.
    """
    model = team.model(settings)
    if not is_remote(model):
        raise PilotError("The model is not behind an API, and no entry point `train` is named in pyproject.toml.")
    known = columns.read_pairs(connection, vault, team.prediction, role="primary")
    others = [pair for pair in known if pair.version != model.version]
    if not others:
        raise PilotError(
            f"No judged item was answered by another version than {model.version}, so there is nothing to compare. "
            "Change the prompt or the model's name first, here and not in the service."
        )
    present = others[-1].version
    wanted = [pair.item_id for pair in others if pair.version == present][-MOST_ASKED:]
    if len(wanted) < LEAST:
        raise PilotError(f"{len(wanted)} items that {present} answered are judged, and {LEAST} are needed.")
    rows = {row.id: row for row in connection.execute(select(items).where(items.c.id.in_(wanted)))}
    say(f"asking {model.version} for {len(wanted)} items that {present} answered")
    contents = [team.item.model_validate_json(vault.open(rows[id].content)) for id in wanted]
    answers = asyncio.run(ask_all(model, contents))
    given = dict(zip(wanted, answers, strict=True))
    costs = [answer.cost for answer in answers if answer.failure is None]
    moments = [rows[id].received_at for id in wanted]
    compared = versions.compare(team, settings, connection, vault, model.version, present, given)
    return Asked(
        _judged_by(compared, model.version, present),
        len(wanted),
        min(moments),
        max(moments),
        None if None in costs else sum(cost or 0 for cost in costs),
    )


async def ask_all(model: RemoteModel, contents: Sequence[Any]) -> list[Answer]:
    """The answers of a remote model in the order of the items, a few at a time. Nothing is recorded."""
    at_once = asyncio.Semaphore(4)

    async def one(item: Any) -> Answer:
        async with at_once:
            return await model.predict_one(item)

    return await asyncio.gather(*map(one, contents))


def _worse_slices(compared: versions.Compared) -> list[str]:
    by_final: dict[str, list[versions.Answered]] = {}
    for pair in compared.pairs:
        by_final.setdefault(shown(pair.final), []).append(pair)
    tested = {name: pairs for name, pairs in sorted(by_final.items()) if len(pairs) >= MINIMUM}
    found = {
        name: paired_shares([pair.first_right for pair in pairs], [pair.second_right for pair in pairs])
        for name, pairs in tested.items()
    }
    adjusted = holm([1.0 if one.p is None else one.p for one in found.values()])
    return [
        f"it gets fewer of the {one.n} items right that people decided as {name} ({one.difference:+.0%}, p {p:.2g})"
        for (name, one), p in zip(found.items(), adjusted, strict=True)
        if p < 0.05 and (one.difference or 0) < 0
    ]


def _worse_fields(compared: versions.Compared) -> list[str]:
    """The fields in which the candidate is proven to be worse, their p-values adjusted for each other (Holm)."""
    adjusted = holm([1.0 if one.comparison.p is None else one.comparison.p for one in compared.fields.values()])
    return [
        f"its {name} is worse by {abs(one.comparison.difference or 0):.3g} (p {p:.2g})"
        for (name, one), p in zip(compared.fields.items(), adjusted, strict=True)
        if one.worse and p < 0.05
    ]


def retrain(
    team: Team,
    settings: Settings,
    connection: Connection,
    vault: Vault,
    more: list[tuple[Item, Prediction]],
    say: Callable[[str], Any],
    trusted: Sequence[str] = (),
) -> Retrained:
    """Trains a candidate on the judged live items but the latest fifth, and on `more` rows, and keeps it in the store.

    What was held out is not learned from: neither those items, nor others of their groups, nor rows with their texts.
    Labels with a single row are left out, and so are the decisions of a person with whom the version in force agrees
    far less often than with the others, unless that person is `trusted`. The same records give the same version.

    Raises PilotError where the approach trains nothing, or the rows do not pass the checks.
    """
    assert team.train is not None  # noqa: S101 - the verb asks a model behind an API instead
    rows = _judged(team, connection, vault, incumbent(connection, settings))
    odd = _odd(rows, trusted, say)
    rows = [row for row in rows if row.by not in odd]
    if len(rows) < LEAST / HELD_OUT:
        raise PilotError(
            f"{len(rows)} live items have a final decision, and {LEAST / HELD_OUT:.0f} are needed: the latest fifth "
            "judges the candidate and is not learned from."
        )
    cut = round(len(rows) * (1 - HELD_OUT))
    held, known = rows[cut:], rows[:cut]
    _refuse_foreign_labels(learned=known, held=held)
    groups, texts = {row.group for row in held if row.group}, {row.item.model_dump_json() for row in held}
    learned = [row for row in known if row.group not in groups and row.item.model_dump_json() not in texts]
    pairs = [(row.item, row.final) for row in learned]
    pairs += [(item, final) for item, final in more if item.model_dump_json() not in texts]
    learned_from = _checked(team, pairs, say)
    with TemporaryDirectory(prefix="pilot-retrain-") as folder:
        scratch = ModelStore(Path(folder))
        team.train(
            [item for item, _ in learned_from],
            [lesson for _, lesson in learned_from],
            settings.model_copy(update={"models": scratch.folder}),
        )
        made = scratch.active()
        if made is None:
            raise PilotError("The team's training kept no model in the store, so there is nothing to promote.")
        ModelStore(settings.models).save(scratch.load(made))
    begins, ends = learned[0].received_at, learned[-1].received_at
    return Retrained(made, len(learned_from), begins, ends, len(held), odd)


@dataclass(frozen=True)
class _Row:
    item: Item
    final: Prediction
    group: str | None
    received_at: datetime
    by: str  # who decided in the end
    right: float | None  # whether the version in force agreed with the decision; None where another one answered


def _judged(team: Team, connection: Connection, vault: Vault, version: str) -> list[_Row]:
    """The live items with a final decision, in the order of arrival."""
    finals, right = {}, {}
    for pair in columns.read_pairs(connection, vault, team.prediction, role="primary"):
        finals[pair.item_id] = pair.final
        if pair.version == version and pair.answer is not None:
            right[pair.item_id] = float(pair.answer.agrees(pair.final))
    last = latest()
    joined = items.join(last, last.c.item_id == items.c.id).join(outcomes, is_final(last))
    wanted = select(items.c.id, items.c.content, items.c.group, items.c.received_at, outcomes.c.made_by)
    wanted = wanted.select_from(joined).where(items.c.origin == "live")
    return [
        _Row(
            team.item.model_validate_json(vault.open(row.content)),
            finals[row.id],
            row.group,
            row.received_at,
            row.made_by,
            right.get(row.id),
        )
        for row in connection.execute(wanted.order_by(items.c.seq))
        if row.id in finals
    ]


def _odd(rows: list[_Row], trusted: Sequence[str], say: Callable[[str], Any]) -> tuple[str, ...]:
    """The people with whom the version in force agrees far less often than with all others: whoever decides by mistake,
    by a script, or to do harm teaches the model nothing, however much they send."""
    by: dict[str, list[float]] = {}
    for row in rows:
        if row.right is not None:
            by.setdefault(row.by, []).append(row.right)
    found = {}
    for name in sorted(by.keys() - set(trusted)):
        others = [right for other, rights in by.items() if other != name for right in rights]
        if min(len(by[name]), len(others)) >= MINIMUM:
            found[name] = independent_shares(by[name], others), sum(by[name]) / len(by[name]), sum(others) / len(others)
    adjusted = dict(zip(found, holm([one.p or 0.0 for one, _, _ in found.values()]), strict=True))
    odd = tuple(name for name, (one, _, _) in found.items() if adjusted[name] < 0.01 and (one.difference or 0) < -ODD)
    for name in odd:
        _, own, theirs = found[name]
        say(
            f"left out: {len(by[name])} decisions of {name}, of which the model in force agrees with {own:.0%}, and "
            f"with {theirs:.0%} of the others'. Look at them; where they are right, --trust {name!r} learns from them."
        )
    return odd


def _refuse_foreign_labels(learned: list[_Row], held: list[_Row]) -> None:
    """Raises PilotError where the version in force agrees with the decisions to learn from far less often than with the
    later ones: a part of them was made by mistake, by a script, or by somebody who means harm."""
    before, after = ([row.right for row in rows if row.right is not None] for rows in (learned, held))
    found = independent_shares(before, after)
    if min(len(before), len(after)) >= MINIMUM and (found.difference or 0) < -MARGIN and (found.p or 0) < 0.01:
        shares = [sum(rights) / len(rights) for rights in (before, after)]
        raise PilotError(
            f"The model in force agrees with {shares[0]:.0%} of the decisions to learn from, and with {shares[1]:.0%} "
            "of the latest fifth, so something is wrong with the earlier ones. Nothing was trained. `pilot report` has "
            "the agreement by day and by person; correct those decisions first."
        )


def _checked(team: Team, pairs: list[tuple[Item, Prediction]], say: Callable[[str], Any]) -> list[tuple[Item, Any]]:
    """What the training learns from each row, without labels that have a single one. Raises PilotError where people
    contradict each other."""
    given: dict[str, list[Prediction]] = {}
    for item, final in pairs:
        alike = given.setdefault(item.model_dump_json(), [])
        if not any(final.agrees(other) for other in alike):
            alike.append(final)
    drafts = any(isinstance(field.comparison, Draft) for field in fields_of(team.prediction).values())
    torn = 0 if drafts else sum(len(finals) > 1 for finals in given.values())
    if torn > 0.05 * len(given):
        raise PilotError(
            f"{torn} of {len(given)} different texts were decided in two ways, more than one in twenty, so nothing was "
            "trained. Settle first what is right: `pilot report` has the agreement of the people."
        )
    learned = list(zip([item for item, _ in pairs], lessons(team, [final for _, final in pairs]), strict=True))
    count = Counter(lesson for _, lesson in learned if isinstance(lesson, str))
    if rare := sorted(label for label, rows in count.items() if rows < 2):
        say(f"left out, because they have a single row: {', '.join(rare)}")
    return [(item, lesson) for item, lesson in learned if not isinstance(lesson, str) or count[lesson] > 1]
