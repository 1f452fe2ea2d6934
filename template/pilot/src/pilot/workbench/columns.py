"""Live records for the evaluation: columns of numbers, and the pairs of answer and decision of judged items."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError
from sqlalchemy import Connection, and_, false, func, select

from pilot.contract import Prediction
from pilot.fields import Comparison, Draft, FieldType, Match, Scored, fields_of, scores
from pilot.records.crypto import Contents, Vault
from pilot.records.outcomes import is_final, is_first, latest, of_live
from pilot.records.tables import answers, items, outcomes

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Flags = NDArray[np.bool_]

_CHUNK = 20_000
UNKNOWN = -1
MATCHES = tuple(Match)


@dataclass(frozen=True)
class OfField:
    """A field of the answers against the decisions, a row for each item: the `match` as a place in MATCHES, UNKNOWN
    where it is not known; its `score` in [0, 1]; `counted` values (of a list its elements, on both sides) and how many
    of them are `hits`; and the `error` of a number. `sure` is the confidence that the answer gave for the field alone,
    and `inside` whether the decision lies in the interval that it gave for a number, 1 or 0; None where nobody looked.
    NaN is not known. `draft` is whether it is a text to be edited."""

    draft: bool
    match: Codes
    score: Floats
    hits: Floats
    counted: Floats
    error: Floats
    sure: Floats | None = None
    inside: Floats | None = None

    def of(self, which: Flags) -> OfField:
        """Those of the items alone."""
        kept: dict[str, Any] = {name: one[which] for name, one in vars(self).items() if isinstance(one, np.ndarray)}
        return replace(self, **kept)


@dataclass(frozen=True)
class Facet:
    """A field of the items with few values, as a code for each item, UNKNOWN where it is not known."""

    codes: Codes
    names: tuple[str, ...]

    def of(self, which: Flags) -> Facet:
        """Those of the items alone."""
        return Facet(self.codes[which], self.names)


@dataclass(frozen=True)
class Columns:
    """One row for each live item, in the order of arrival. Moments are seconds since 1970 in UTC, durations seconds;
    NaN is not known. A code is a place in the tuple of names, UNKNOWN where there is none.

    `asked`: a person is to decide the item. `probability`: with which it was chosen for that; 1 where everyone is.
    `audited`: the AI's answer was used, and a person decides again to see whether it was right.
    `judged`: it has an outcome. `agrees`: the AI's answer counts as right by the first decision, 1 or 0, UNKNOWN where
    it is not judged or the AI was not asked; `agrees_at_last` the same by the final one, and `rules_agree` of today's
    rules by the first. `ai` and `rules` are the fields of their answers by name, and `facets` those fields of judged
    items that have few values, where contents were read. `shown`: who decided first saw the answer. `trained`: the
    version that answered had learned from the item, 1 or 0, UNKNOWN where its model keeps no record of that. `ended_at`
    is the final outcome's moment, or the answer's where it was used, audited or not. `touches` are the actions of
    persons, `work_seconds` their time.
    """

    arrived_at: Floats
    ended_at: Floats
    mode: Codes
    asked: Flags
    probability: Floats
    audited: Flags
    judged: Flags
    agrees: Codes
    agrees_at_last: Codes
    rules_agree: Codes
    shown: Flags
    trained: Codes
    failed: Flags
    confidence: Floats
    cost: Floats
    answer_seconds: Floats
    touches: Codes
    work_seconds: Floats
    version: Codes
    group: Codes
    modes: tuple[str, ...]
    versions: tuple[str, ...]
    groups: tuple[str, ...]
    facets: Mapping[str, Facet] = field(default_factory=dict)
    ai: Mapping[str, OfField] = field(default_factory=dict)
    rules: Mapping[str, OfField] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arrived_at)

    @property
    def influenced(self) -> Flags:
        """Items whose handling the AI could change: those in assist and auto."""
        codes = [code for code, name in enumerate(self.modes) if name in ("assist", "auto")]
        found: Flags = np.isin(self.mode, codes)
        return found

    def of(self, which: Flags) -> Columns:
        """Those of the items alone."""
        columns: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        kept: dict[str, Any] = {name: one[which] for name, one in columns.items() if isinstance(one, np.ndarray)}
        kept |= {name: {key: one.of(which) for key, one in columns[name].items()} for name in ("facets", "ai", "rules")}
        return replace(self, **kept)


def read(
    connection: Connection,
    until: datetime | None = None,
    *,
    begins: datetime | None = None,
    ends: datetime | None = None,
    contents: Contents | None = None,
    first_counts: bool = True,
) -> Columns:
    """The live items that arrived from `begins` on and were received before `ends` and `until`, with their outcomes of
    before `until`; a moment that is None bounds nothing. With `contents` each field of the answers is held against the
    first decision, or the final one.

    Memory grows with the items by a few numbers each, and by a few more for each field. Raises PilotError where a data
    key is not set that sealed the contents.
    """
    kept = {name: array("d") for name in _NUMBERS}
    codes: dict[str, dict[str, int]] = {name: {} for name in ("mode", "version", "group")}
    coded = {name: array("i") for name in codes}
    rows = connection.execution_options(yield_per=_CHUNK).execute(_wanted(until, begins, ends))
    for row in rows:
        for name, value in zip(_NUMBERS, row, strict=False):
            kept[name].append(_number(value))
        for name, value in zip(codes, row[len(_NUMBERS) :], strict=True):
            known = codes[name]
            coded[name].append(UNKNOWN if value is None else known.setdefault(str(value), len(known)))
    number = {name: np.frombuffer(values, dtype=float) if values else np.empty(0) for name, values in kept.items()}
    code = {name: np.frombuffer(values, dtype="i") if values else np.empty(0, "i") for name, values in coded.items()}
    if until is not None:
        late = number["answer_ended"] >= until.timestamp()
        number["answer_ended"] = np.where(late, np.nan, number["answer_ended"])
    audited = number["audited"] == 1
    # An audit looks back at an answer that was used: it measures the AI, and holds nobody up.
    used = audited | (np.isnan(number["decided_at"]) & (number["review"] == 0))
    places = {int(seq): place for place, seq in enumerate(number["seq"])}
    by_role: dict[str, dict[str, OfField]] = {"primary": {}, "rules": {}}
    facets: dict[str, Facet] = {}
    if contents is not None:
        wanted = _within(of_live(_answered(until, first_counts), until), begins, ends)
        by_role, facets = _by_field(connection, wanted, contents, places)
    return Columns(
        arrived_at=number["arrived_at"],
        ended_at=np.where(used, number["answer_ended"], number["decided_at"]),
        mode=code["mode"],
        asked=number["review"] == 1,
        probability=np.where(np.isnan(number["probability"]), 1.0, number["probability"]),
        audited=audited,
        judged=~np.isnan(number["decided_at"]),
        agrees=_flag(number["agreement"]),
        agrees_at_last=_flag(number["final_agreement"]),
        shown=number["shown"] == 1,
        trained=_flag(number["trained"]),
        rules_agree=_flag(number["rules_agreement"]),
        failed=number["failed"] == 1,
        confidence=number["confidence"],
        cost=number["cost"],
        answer_seconds=number["answer_ended"] - number["answer_begun"],
        touches=np.nan_to_num(number["touches"]).astype("i"),
        work_seconds=number["work_seconds"],
        version=code["version"],
        group=code["group"],
        modes=tuple(codes["mode"]),
        versions=tuple(codes["version"]),
        groups=tuple(codes["group"]),
        facets=facets,
        ai=by_role["primary"],
        rules=by_role["rules"],
    )


_NUMBERS = (
    *(
        "seq",
        "arrived_at",
        "review",
        "audited",
        "answer_begun",
        "answer_ended",
        "failed",
        "confidence",
        "cost",
        "probability",
    ),
    *("touches", "work_seconds", "decided_at", "final_agreement", "agreement", "rules_agreement", "shown", "trained"),
)


def _wanted(until: datetime | None, begins: datetime | None, ends: datetime | None) -> Any:
    last = latest(until)
    primary, first = answers.alias(), outcomes.alias()
    wanted = (
        select(
            items.c.seq,
            items.c.arrived_at,
            items.c.review.is_not(None),
            func.coalesce(items.c.review == "audit", false()),
            primary.c.begun_at,
            primary.c.ended_at,
            primary.c.failure.is_not(None),
            primary.c.confidence,
            primary.c.cost,
            primary.c.audit_probability,
            last.c.touches,
            last.c.work,
            outcomes.c.at,
            outcomes.c.agreement,
            first.c.agreement,
            first.c.rules_agreement,
            first.c.action.is_not(None),
            primary.c.trained,
            items.c.mode,
            primary.c.model_version,
            items.c.group,
        )
        .select_from(items)
        .outerjoin(primary, and_(primary.c.item_id == items.c.id, primary.c.role == "primary"))
        .outerjoin(last, last.c.item_id == items.c.id)
        .outerjoin(outcomes, is_final(last))
        .outerjoin(first, is_first(first, last))
        .order_by(items.c.seq)
    )
    return _within(of_live(wanted, until), begins, ends)


def _answered(until: datetime | None, first_counts: bool) -> Any:
    """The answers of the AI and of the rules to judged items whose contents were not erased, and the decision."""
    last = latest(until)
    version = 1 if first_counts else last.c.version
    return (
        select(
            *(items.c.seq, items.c.content, answers.c.role, answers.c.prediction, outcomes.c.final),
            *(answers.c.confidences, answers.c.intervals),
        )
        .select_from(items)
        .join(last, last.c.item_id == items.c.id)
        .join(outcomes, and_(outcomes.c.item_id == items.c.id, outcomes.c.version == version))
        .join(answers, answers.c.item_id == items.c.id)
        .where(answers.c.ended_at.is_not(None), items.c.erased_at.is_(None), answers.c.role.in_(("primary", "rules")))
    )


def _by_field(
    connection: Connection, wanted: Any, contents: Contents, places: Mapping[int, int]
) -> tuple[dict[str, dict[str, OfField]], dict[str, Facet]]:
    """By the role of the answer and the name of the field, and what the items have in common."""
    kind, vault, n = contents.prediction, contents.vault, len(places)

    def empty(comparison: Comparison | None) -> OfField:
        unknown = (np.full(n, np.nan) for _ in range(6))
        return OfField(isinstance(comparison, Draft), np.full(n, UNKNOWN, "i"), *unknown)

    found: dict[str, dict[str, OfField]] = {
        role: {name: empty(one.comparison) for name, one in fields_of(kind).items()} for role in ("primary", "rules")
    }
    facets: dict[str, dict[int, str]] = {name: {} for name, one in fields_of(contents.item).items() if _is_facet(one)}
    rows = connection.execution_options(yield_per=_PAIRS).execute(wanted)
    for seq, content, role, sealed, decided, sure, intervals in rows:
        try:
            answer, final = (
                None if one is None else kind.model_validate_json(vault.open(one)) for one in (sealed, decided)
            )
        except ValidationError:  # of before a change of the schema, so nothing is known of it
            continue
        if seq not in places:  # it came meanwhile
            continue
        for name, scored in scores(answer, final, kind).items():
            _note(found[role][name], places[seq], scored)
        _note_told(found[role], places[seq], orjson.loads(sure or "{}"), _opened(vault, intervals), final)
        if facets and role == "primary":
            item = contents.item.model_validate_json(vault.open(content))
            for name, held in facets.items():
                if (value := getattr(item, name)) is not None:
                    held[places[seq]] = str(getattr(value, "value", value))
    return found, {name: facet for name, held in facets.items() if (facet := _facet(held, n)) is not None}


# A field of more values than these, or of longer ones, is no part of the whole but a text of its own.
MOST_VALUES, MOST_LETTERS = 20, 60


def _is_facet(field: FieldType) -> bool:
    return not field.many and (bool(field.choices) or field.kind in (bool, str, int))


def _facet(held: dict[int, str], n: int) -> Facet | None:
    """The values as codes; None where there is one alone, or too many."""
    names = tuple(sorted(set(held.values())))
    if not 1 < len(names) <= MOST_VALUES or max(map(len, names)) > MOST_LETTERS:
        return None
    codes = np.full(n, UNKNOWN, "i")
    for place, name in held.items():
        codes[place] = names.index(name)
    return Facet(codes, names)


def _note(column: OfField, place: int, scored: Scored) -> None:
    column.match[place] = MATCHES.index(scored.match)
    column.score[place] = scored.score
    column.hits[place], column.counted[place] = 2 * scored.hits, 2 * scored.hits + scored.extra + scored.lost
    column.error[place] = np.nan if scored.error is None else scored.error


def _note_told(
    columns: Mapping[str, OfField], place: int, sure: Mapping[str, float], intervals: Mapping[str, Any], final: Any
) -> None:
    """Notes what the answer told of its fields beside their values."""
    for name, column in columns.items():
        if column.sure is not None and name in sure:
            column.sure[place] = sure[name]
        decided = getattr(final, name, None)
        if column.inside is not None and name in intervals and decided is not None:
            low, high = intervals[name]
            column.inside[place] = low <= float(decided) <= high


def _opened(vault: Vault, sealed: bytes | None) -> dict[str, Any]:
    return {} if sealed is None else dict(orjson.loads(vault.open(sealed)))


def _within(wanted: Any, begins: datetime | None, ends: datetime | None) -> Any:
    if begins is not None:
        wanted = wanted.where(items.c.arrived_at >= begins)
    return wanted if ends is None else wanted.where(items.c.received_at < ends)


def _number(value: Any) -> float:
    if value is None:
        return float("nan")
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _flag(values: Any) -> Any:
    return np.where(np.isnan(values), UNKNOWN, values).astype("i")


_PAIRS = 5_000
FAILED = "(no answer)"


@dataclass(frozen=True, slots=True)
class Pair:
    """The answer of one model version, None where it failed, and the final decision about the same item. `cost` is in
    the currency of the model, None where it is not known."""

    item_id: str
    version: str
    group: str | None
    answer: Prediction | None
    final: Prediction
    cost: float | None
    seconds: float
    trained: bool


def read_pairs(
    connection: Connection,
    vault: Vault,
    kind: type[Prediction],
    *,
    role: str | None,
    until: datetime | None = None,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> Iterator[Pair]:
    """The answers of the role (None: of all roles) to judged live items, in the order of arrival; which ones, as `read`
    takes them. `trained` is whether the version had learned from the item.

    Raises PilotError where a data key is not set that sealed them.
    """
    last = latest(until)
    wanted = (
        select(
            items.c.id,
            answers.c.model_version,
            items.c.group,
            answers.c.prediction,
            outcomes.c.final,
            answers.c.cost,
            answers.c.begun_at,
            answers.c.ended_at,
            answers.c.trained,
        )
        .select_from(items)
        .join(last, last.c.item_id == items.c.id)
        .join(outcomes, is_final(last))
        .join(answers, answers.c.item_id == items.c.id)
        .where(answers.c.ended_at.is_not(None), outcomes.c.final.is_not(None), items.c.erased_at.is_(None))
        .order_by(items.c.seq, answers.c.id)
    )
    if role is not None:
        wanted = wanted.where(answers.c.role == role)
    rows = connection.execution_options(yield_per=_PAIRS).execute(_within(of_live(wanted, until), begins, ends))
    for item_id, version, group, prediction, sealed, cost, begun, ended, trained in rows:
        answer = None if prediction is None else kind.model_validate_json(vault.open(prediction))
        final = kind.model_validate_json(vault.open(sealed))
        yield Pair(item_id, version, group, answer, final, cost, (ended - begun).total_seconds(), trained is True)


def label(prediction: Prediction | None) -> str | None:
    """A prediction in one word, where it has one field that holds one; FAILED where there is none. None where it holds
    more than a word, or a draft, which no table can show."""
    if prediction is None:
        return FAILED
    if any(isinstance(one.comparison, Draft) for one in fields_of(type(prediction)).values()):
        return None
    fields: dict[str, Any] = prediction.model_dump(mode="json")
    value = next(iter(fields.values()), None)
    return str(value) if len(fields) == 1 and isinstance(value, str | int | bool) else None
