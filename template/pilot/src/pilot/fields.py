"""The fields of an Item or a Prediction: what each holds, and how an answer's is compared with what people decided."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from collections.abc import Set as AnySet
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher
from enum import Enum, StrEnum
from functools import cache, reduce
from math import isfinite
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from unicodedata import category, normalize

from pydantic import AwareDatetime, BaseModel, FutureDate, FutureDatetime, NaiveDatetime, PastDate, PastDatetime

DAY = timedelta(days=1)
_SETS = (set, frozenset, AnySet)
_LISTS = (list, tuple, Sequence, MutableSequence, *_SETS)
# Pydantic's own names of what is a date or a datetime.
_MOMENTS: dict[Any, type] = {
    **dict.fromkeys((AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime), datetime),
    **dict.fromkeys((PastDate, FutureDate), date),
}


@dataclass(frozen=True)
class SameText:
    """Texts are the same that differ by case, blanks and punctuation alone."""


@dataclass(frozen=True)
class Within:
    """Numbers and dates are the same that differ by `absolute` at most, or by the part `relative` of what was decided.
    `absolute` is in the unit of the number; of a date in days, or a timedelta."""

    absolute: float | timedelta = 0.0
    relative: float = 0.0


@dataclass(frozen=True)
class SameSet:
    """Lists are the same that hold the same elements, in whichever order. A set is compared so anyway."""


@dataclass(frozen=True)
class Draft:
    """A long text, which people edit before it is used. It is right where nothing was changed; its score is how much of
    it stayed, by words, or by characters."""

    by: Literal["words", "characters"] = "words"


Comparison = SameText | Within | SameSet | Draft


@dataclass(frozen=True)
class FieldType:
    """What a field holds: its `kind` without None and annotations (of a list that of its elements, and `many`), whether
    it may hold nothing, and how it is compared; None: by equality. `element` is how the elements of a SameSet are
    compared. `choices` are the values of a Literal or an Enum."""

    name: str
    title: str
    description: str | None
    kind: Any
    many: bool
    optional: bool
    comparison: Comparison | None
    element: Comparison | None = None

    @property
    def choices(self) -> tuple[Any, ...]:
        if get_origin(self.kind) is Literal:
            return get_args(self.kind)
        if isinstance(self.kind, type) and issubclass(self.kind, Enum):
            return tuple(member.value for member in self.kind)
        return ()

    @property
    def nested(self) -> type[BaseModel] | None:
        """The model that the field, or each of its elements, holds."""
        return self.kind if isinstance(self.kind, type) and issubclass(self.kind, BaseModel) else None

    @property
    def number(self) -> bool:
        """Whether it holds one number, or one date, so that an error has a size."""
        of_numbers = isinstance(self.kind, type) and issubclass(self.kind, int | float | Decimal | date)
        return of_numbers and self.kind is not bool and not self.choices and not self.many


@cache
def fields_of(model: type[BaseModel]) -> dict[str, FieldType]:
    """The fields of a model by name, in their order."""
    if not model.__pydantic_complete__:
        model.model_rebuild()  # it names models that are defined below it
    found = {}
    for name, field in model.model_fields.items():
        kind, notes = _unwrapped(field.annotation)
        notes = (*field.metadata, *notes)
        optional = kind[1] or not field.is_required()
        held, sequence = kind[0], get_origin(kind[0]) or kind[0]
        many = sequence in _LISTS
        if many:
            (held, _), inner = _unwrapped(next(iter(get_args(held)), Any))
            notes = (*notes, *(one for one in inner if not isinstance(one, SameSet)))
        comparison = next((note for note in notes if isinstance(note, Comparison)), None)
        element = None
        if many and (sequence in _SETS or any(isinstance(note, SameSet) for note in notes)):
            element = next((note for note in notes if isinstance(note, SameText | Within | Draft)), None)
            comparison = SameSet()
        title = field.title or name.replace("_", " ").capitalize()
        found[name] = FieldType(name, title, field.description, held, many, optional, comparison, element)
    return found


@cache
def required(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of the fields that always hold something."""
    return tuple(name for name, field in fields_of(model).items() if not field.optional)


def _unwrapped(annotation: Any) -> tuple[tuple[Any, bool], tuple[Any, ...]]:
    """A type without None and annotations, whether None was among it, and the annotations."""
    if get_origin(annotation) is Annotated:
        found, more = _unwrapped(get_args(annotation)[0])
        return found, (*get_args(annotation)[1:], *more)
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        empty = len(kinds) < len(get_args(annotation))
        if len(kinds) == 1:
            (inner, _), notes = _unwrapped(kinds[0])
            return (inner, empty), notes
        return (reduce(or_, kinds), empty), ()
    return (_MOMENTS.get(annotation, annotation) if isinstance(annotation, type) else annotation, False), ()


def least(model: type[BaseModel], confidences: Mapping[str, float]) -> float | None:
    """The least confidence of the required fields, of all that have one where none is required; none where that of a
    required one is not known."""
    names = required(model) or tuple(confidences)
    known = names and confidences.keys() >= set(names)
    return min(confidences[name] for name in names) if known else None


def one_label(model: type[BaseModel]) -> bool:
    """Whether a prediction is one value that is right or wrong, so that accuracy is the only figure it needs."""
    found = list(fields_of(model).values())
    return len(found) == 1 and found[0].comparison is None and not found[0].many and found[0].nested is None


class Match(StrEnum):
    """How a field of an answer compares with what was decided. EMPTY: neither holds anything."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"
    SPURIOUS = "spurious"
    EMPTY = "empty"

    @property
    def agrees(self) -> bool:
        return self in (Match.RIGHT, Match.EMPTY)


@dataclass(frozen=True, slots=True)
class Scored:
    """A field of an answer against the same field of the decision: its `score` in [0, 1]; of one value, or of the
    elements of a list, `hits` that both hold, `extra` that only the answer holds and `lost` that only the decision
    holds; and the size of the `error` where both hold a number (of dates, in days)."""

    match: Match
    score: float
    hits: int = 0
    extra: int = 0
    lost: int = 0
    error: float | None = None


_ALONE = {
    (False, False): Scored(Match.EMPTY, 1.0),
    (True, False): Scored(Match.SPURIOUS, 0.0, extra=1),
    (False, True): Scored(Match.MISSING, 0.0, lost=1),
}


def scores(answer: BaseModel | None, final: BaseModel | None, kind: type[BaseModel]) -> dict[str, Scored]:
    """Each field of `kind`, of an answer against the final decision. Where there was no answer each value is missing;
    where the answer was rejected and nothing else decided, each is spurious.

    Source: missing, spurious and wrong values as in MUC-5 (Chinchor and Sundheim, 1993); a wrong one counts as extra
    and as lost, so that 2 hits / (2 hits + extra + lost) is F1.
    """
    return {
        name: _scored(field, getattr(answer, name, None), getattr(final, name, None), graded=True)
        for name, field in fields_of(kind).items()
    }


def agree(answer: BaseModel, final: BaseModel) -> bool:
    """Whether every field of an answer is right."""
    return type(answer) is type(final) and all(
        _scored(field, getattr(answer, name), getattr(final, name), graded=False).match.agrees
        for name, field in fields_of(type(final)).items()
    )


def recognised(answer: BaseModel, known: BaseModel) -> bool:
    """Whether an answer with a draft matches a known one: the draft has half of its different words, and every other
    field is right. Nobody writes a draft word for word as it was written before. False where no field is a draft."""
    if not any(isinstance(field.comparison, Draft) for field in fields_of(type(known)).values()):
        return False
    for name, field in fields_of(type(known)).items():
        one, other = getattr(answer, name), getattr(known, name)
        if isinstance(field.comparison, Draft) and present(one) and present(other):
            words = set(plain(other).split())
            if 2 * len(words & set(plain(one).split())) < len(words):
                return False
        elif not _scored(field, one, other, graded=False).match.agrees:
            return False
    return True


def shown(prediction: BaseModel | None) -> str:
    """A prediction as one line."""
    return ", ".join(str(value) for _, value in prediction or ()) or "no answer"


def finite(value: Any) -> bool:
    """Whether every number in a value, however deep, is finite."""
    if isinstance(value, float | Decimal):
        return isfinite(value)
    if isinstance(value, BaseModel):
        return all(finite(one) for _, one in value)
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    return not isinstance(value, list | tuple | AnySet) or all(map(finite, value))


def present(value: Any) -> bool:
    """Whether a field holds anything: None, a blank text and an empty list are nothing."""
    return not (value is None or value in ([], (), set(), {}) or (isinstance(value, str) and not value.strip()))


def _scored(field: FieldType, answer: Any, final: Any, *, graded: bool) -> Scored:
    both = present(answer), present(final)
    if both != (True, True):
        alone = _ALONE[both]
        size = max((len(value) for value in (answer, final) if field.many and present(value)), default=1)
        return replace(alone, extra=alone.extra * size, lost=alone.lost * size)
    if field.many:
        return _of_lists(field, list(answer), list(final))
    if field.nested is not None:
        parts = [
            _scored(inner, getattr(answer, name), getattr(final, name), graded=graded)
            for name, inner in fields_of(field.nested).items()
        ]
        right = all(part.match.agrees for part in parts)
        held = [part.score for part in parts if part.match is not Match.EMPTY]
        return _of_one(right, sum(held) / len(held) if held else 1.0)
    right = _same(field.comparison, answer, final)
    score = similarity(answer, final, field.comparison.by) if graded and isinstance(field.comparison, Draft) else None
    error = difference(answer, final) if graded and field.number else None
    return replace(_of_one(right, score), error=error)


def _of_one(right: bool, score: float | None = None) -> Scored:
    if right:
        return Scored(Match.RIGHT, 1.0, hits=1)
    return Scored(Match.WRONG, score or 0.0, extra=1, lost=1)


def _of_lists(field: FieldType, answer: list[Any], final: list[Any]) -> Scored:
    """Lists element by element: each of the answer's with one of the decision's, in order, or as a set in any order."""

    def same(one: Any, other: Any) -> bool:
        if field.nested is not None:
            return agree(one, other)
        return _same(field.element if isinstance(field.comparison, SameSet) else field.comparison, one, other)

    if isinstance(field.comparison, SameSet):
        hits = _pairs([[place for place, other in enumerate(final) if same(one, other)] for one in answer])
    else:
        hits = sum(same(one, other) for one, other in zip(answer, final, strict=False))
    extra, lost = len(answer) - hits, len(final) - hits
    match = Match.WRONG if extra or lost else Match.RIGHT
    return Scored(match, 2 * hits / (2 * hits + extra + lost), hits, extra, lost)


def _pairs(fits: list[list[int]]) -> int:
    """How many of the elements of a list find one of another list for themselves, at most, where each fits those at the
    places `fits`. With a tolerance, one may fit two that fit others.

    Source: augmenting paths, Kuhn (1955), Naval Research Logistics 2:83.
    """
    taken: dict[int, int] = {}
    full: set[int] = set()  # places from which no free one is reached, now or later
    for one, places in enumerate(fits):
        by = {place: one for place in places if place not in full}
        waiting = sorted(by, key=taken.__contains__, reverse=True)  # a free one is looked at first
        while waiting:
            place = waiting.pop()
            if place in taken:
                others = [other for other in fits[taken[place]] if other not in by and other not in full]
                by |= dict.fromkeys(others, taken[place])
                waiting += others
                continue
            held = {owner: other for other, owner in taken.items()}
            while by[place] != one:
                taken[place], place = by[place], held[by[place]]
            taken[place] = one
            break
        else:
            full |= by.keys()
    return len(taken)


def _same(comparison: Comparison | None, answer: Any, final: Any) -> bool:
    match comparison:
        case SameText() if isinstance(answer, str) and isinstance(final, str):
            return plain(answer) == plain(final)
        case Within() if (apart := difference(answer, final)) is not None:
            absolute = comparison.absolute
            allowed = absolute / DAY if isinstance(absolute, timedelta) else absolute
            size = abs(float(final)) if isinstance(final, int | float | Decimal) else 0.0
            return apart <= max(allowed, comparison.relative * size) * (1 + 1e-9)
        case Draft() if isinstance(answer, str) and isinstance(final, str):
            return lines(answer) == lines(final)
    return bool(answer == final)


def plain(text: str) -> str:
    """A text in small letters, without punctuation, and with single blanks."""
    letters = normalize("NFKC", text).casefold()
    return " ".join("".join(" " if category(one).startswith("P") else one for one in letters).split())


def lines(text: str) -> list[str]:
    """The lines of a text without blanks at their ends, which no reader sees."""
    return [line.rstrip() for line in text.strip().splitlines()]


def difference(answer: Any, final: Any) -> float | None:
    """How far two numbers are apart; two dates in days. None where they are neither."""
    if isinstance(answer, datetime) and isinstance(final, datetime):
        if (answer.tzinfo is None) != (final.tzinfo is None):
            return None
        return abs(answer - final) / DAY
    if isinstance(answer, date) and isinstance(final, date):
        return None if isinstance(answer, datetime) or isinstance(final, datetime) else abs(answer - final) / DAY
    numbers = [one for one in (answer, final) if isinstance(one, int | float | Decimal) and not isinstance(one, bool)]
    if len(numbers) < 2:
        return None
    try:
        apart = abs(float(numbers[0]) - float(numbers[1]))
    except (OverflowError, ValueError):  # a whole number beyond all floats, a signalling NaN
        return None
    return apart if isfinite(apart) else None


def similarity(answer: str, final: str, by: Literal["words", "characters"] = "words") -> float:
    """How much of a draft stayed, in [0, 1]: 1 less the fewest words (or characters) that must be put in, taken out or
    replaced, as a part of the longer text.

    Source: Levenshtein (1966), Soviet Physics Doklady 10:707, normalised, through rapidfuzz.
    """
    from rapidfuzz.distance import Levenshtein  # the statistics alone need it

    texts: list[Sequence[Any]] = [answer.split(), final.split()] if by == "words" else [answer, final]
    return float(Levenshtein.normalized_similarity(*texts))


def changes(answer: str, final: str) -> Iterator[tuple[str, str]]:
    """What a person changed in a text, piece by piece: `same`, `out` (taken out) or `in` (put in), and the words."""
    before, after = (re.findall(r"\S+|\s+", text) for text in (answer, final))
    for what, start, end, begin, stop in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            yield "same", "".join(before[start:end])
        else:
            if start < end:
                yield "out", "".join(before[start:end])
            if begin < stop:
                yield "in", "".join(after[begin:stop])


_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")


def parsed(field: FieldType, text: str) -> Any:
    """Reads a field's value from a text, for its type to check: a number with commas or points, a date such as
    31.12.2026, a list whose elements are separated by semicolons or lines, or JSON. Returns None for a blank text. A
    text that can be read in two ways, or in none, is returned as it is, so that the type refuses it.
    """
    text = text.strip()
    if not text:
        return [] if field.many else None
    if field.many or field.nested is not None:
        if text[0] in "[{":
            try:
                return json.loads(text)
            except ValueError:
                return text
        if not field.many:
            return text
        single = replace(field, many=False)
        return [parsed(single, part) for part in re.split(r"[;\n]", text) if part.strip()]
    if field.number and issubclass(field.kind, int | float | Decimal):
        try:
            return number(text, field.kind)
        except ValueError:
            return text
    if field.number and (found := _DAY_FIRST.fullmatch(text)):
        day, month, year = found.groups()
        return f"{year}-{month:0>2}-{day:0>2}"
    return text


_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([.,'\u2019 \u00a0\u202f])\d{3})(?:\1\d{3})*")


def number(given: str, kind: type) -> int | float | str:
    """A number as people write it: with a decimal point or a decimal comma, and with marks between thousands.

    Raises ValueError where it is none, or where a comma may be either.
    """
    whole = issubclass(kind, int)
    found = given.replace("\u2212", "-")
    last = max(found.rfind("."), found.rfind(","))
    before, mark, after = found[:last], found[last : last + 1], found[last + 1 :]
    if _GROUPED.fullmatch(found) and (whole or found.count(mark) > 1 or not mark):
        found = re.sub(r"[^\d+-]", "", found)
    elif mark == "," and _GROUPED.fullmatch(found):
        digits = re.sub(r"\D", "", found)
        raise ValueError(f"the comma can be read in two ways; enter {digits} or {found.replace(',', '.')}")
    elif mark and mark not in before and (re.fullmatch(r"[+-]?\d+", before) or _GROUPED.fullmatch(before)):
        found = f"{re.sub(r'[^0-9+-]', '', before)}.{after}"
    if re.fullmatch(r"[+-]?\d+" if whole else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", found, re.ASCII):
        return int(found) if whole else found if issubclass(kind, Decimal) else float(found)
    raise ValueError("enter a whole number, such as 12" if whole else "enter a number, such as 1234.50")
