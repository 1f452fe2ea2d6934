"""Fields of a text: a classifier of its tokens on ONNX Runtime, which the fields are read from, and its training."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from math import exp, log
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import regex  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from pilot.contract import Answer, Failure, ModelUnavailable, PilotError, Prediction
from pilot.fields import FieldType, Match, fields_of, least, plain, present, scores
from pilot.models import spellings
from pilot.models.onnx import Session, check_steps, learned_from, text_of
from pilot.models.spellings import Habit
from pilot.models.store import Artefact, Score, load_active
from pilot.models.text import words
from pilot.models.training import PARTS, TrainingReport, keep, limits
from pilot.settings import Settings

# The name of the steps from a text to its tokens and their features, which is kept with each model.
STEPS = "tokens-1"
# Chosen by cross-validation in three parts on the 1,500 rows of Bookings, 14 fields, by the share of requests with
# every field right: a C of 10 or 100 was no better; nor were features that occur once. Without the neighbouring tags
# 71 %, with them at full weight 74 %, at this one 75 %.
STRENGTH, OCCURRENCES, MAX_STEPS, NEIGHBOURS = 30.0, 2, 300, 0.6
# Each pair of tags counts as seen so often before the first.
_UNSEEN = 0.1
FOLDS, FEWEST = 3, 4
OUTSIDE = "O"
FILLED, EMPTY = "filled", "empty"
# Fewer right or wrong fields say too little of what a probability is worth. One nearer to 0 or 1 counts as this.
LEAST_OF_EACH, _NEAR = 20, 1e-6
# Tokens that are given to ONNX Runtime at once.
_CHUNK = 1024
_TOKEN = regex.compile(
    r"\d+(?:[.,:/\-]\d+)*|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|\p{L}[\p{L}\p{M}]*(?:['’]\p{L}[\p{L}\p{M}]*)*|\S"
)

Floats = npt.NDArray[np.floating[Any]]
FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """Tokens from `begin` to before `end`, and what they mean by each habit."""

    begin: int
    end: int
    meanings: Mapping[Habit, Any]


class Page:
    """A text and its tokens: words, numbers with the marks in them, and single signs."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = list(_TOKEN.finditer(text))
        self.spans = [match.span() for match in found]
        self.tokens = [match[0] for match in found]
        self.folded = [token.casefold() for token in self.tokens]

    @cached_property
    def lines(self) -> list[int]:
        """The number of the line that each token is in."""
        found, at, line = [], 0, 0
        for begin, _ in self.spans:
            line += self.text.count("\n", at, begin)
            at = begin
            found.append(line)
        return found

    @cached_property
    def numbers(self) -> list[Written]:
        """The tokens that may be a number, with what they may mean."""
        return self._written(spellings.numbers(self.text), spellings.number)

    @cached_property
    def days(self) -> list[Written]:
        """The tokens that are a date, with what they may mean."""
        return self._written(spellings.days(self.text), spellings.day)

    @cached_property
    def moments(self) -> list[Written]:
        """The tokens that are a date with a time or without, with what they may mean."""
        return self._written(spellings.days(self.text, times=True), spellings.moment)

    def _written(self, places: Iterator[tuple[int, int]], reading: Callable[[str, Habit], Any]) -> list[Written]:
        begins = {begin: place for place, (begin, _) in enumerate(self.spans)}
        ends = {end: place + 1 for place, (_, end) in enumerate(self.spans)}
        habits = spellings.HABITS
        return [
            Written(begins[begin], ends[end], {habit: reading(self.text[begin:end], habit) for habit in habits})
            for begin, end in places
            if begin in begins and end in ends
        ]

    def of(self, begin: int, end: int) -> str:
        """The text of the tokens from `begin` to before `end`, in one line."""
        return " ".join(self.text[self.spans[begin][0] : self.spans[end - 1][1]].split())

    def features(self) -> list[list[str]]:
        """What the classifier knows of each token: the word, its shape, its ends, its neighbours. As many for each."""
        folded = ["<3", "<2", "<1", *self.folded, ">1", ">2", ">3"]
        shapes = ["<", *map(_shape, self.tokens), ">"]
        rows = []
        for at, word in enumerate(self.folded):
            third, second, before, _, after, next_but_one, next_but_two = folded[at : at + 7]
            rows.append(
                [
                    f"w={word}",
                    f"s={shapes[at + 1]}",
                    f"p2={word[:2]}",
                    f"p3={word[:3]}",
                    f"p4={word[:4]}",
                    f"e2={word[-2:]}",
                    f"e3={word[-3:]}",
                    f"e4={word[-4:]}",
                    f"-3={third}",
                    f"-2={second}",
                    f"-1={before}",
                    f"+1={after}",
                    f"+2={next_but_one}",
                    f"+3={next_but_two}",
                    f"s-1={shapes[at]}",
                    f"s+1={shapes[at + 2]}",
                    f"-1,0={before}|{word}",
                    f"0,+1={word}|{after}",
                    f"-1,+1={before}|{after}",
                    f"-2,-1={second}|{before}",
                    f"+1,+2={after}|{next_but_one}",
                ]
            )
        return rows


def _shape(token: str) -> str:
    """`Xx` for London, `9.9` for 12.50: each run of letters or digits as its first two."""
    kinds = "".join("9" if one.isdigit() else "X" if one.isupper() else "x" if one.isalpha() else one for one in token)
    shape: str = regex.sub(r"(.)\1+", r"\1\1", kinds)
    return shape


def learnable(prediction: type[BaseModel]) -> dict[FieldPath, FieldType]:
    """The fields that can be read from a text, by their path: those of a nested model have its field's name first."""
    found: dict[FieldPath, FieldType] = {}
    for name, field in fields_of(prediction).items():
        if field.nested is None:
            inner: dict[FieldPath, FieldType] = {(name,): field}
        else:
            inner = {(name, deeper): one for deeper, one in fields_of(field.nested).items() if not one.nested}
        found |= {path: one for path, one in inner.items() if isinstance(one.kind, type) or one.choices}
    return {path: field for path, field in found.items() if not _of(field, bool | dict)}


def _of(field: FieldType, kinds: Any) -> bool:
    return isinstance(field.kind, type) and issubclass(field.kind, kinds)


def read(field: FieldType, text: str, habit: Habit) -> Any:
    """The value that a found text stands for; None where it stands for none."""
    if field.choices:
        said = spellings.SIGNS.get(text, text)
        return next((choice for choice in field.choices if plain(str(choice)) == plain(said)), None)
    if _of(field, datetime):
        return spellings.moment(text, habit)
    if _of(field, date):
        return spellings.day(text, habit)
    if _of(field, int | float | Decimal):
        number = spellings.number(text, habit)
        if number is None or (_of(field, int) and number != int(number)):
            return None
        return int(number) if _of(field, int) else number if _of(field, Decimal) else float(number)
    return text


@dataclass(frozen=True)
class Span:
    """Tokens that were found to hold a field, and the least of their probabilities."""

    begin: int
    end: int
    probability: float


@dataclass(frozen=True)
class Sure:
    """What a probability is worth: the inverse logit of `slope` times its logit plus `offset`.

    Source: Platt (1999), in Advances in Large Margin Classifiers, on held-out rows, of the logit of a probability.
    """

    slope: float
    offset: float

    def of(self, share: float) -> float:
        return 1 / (1 + exp(-(self.slope * _logit(share) + self.offset)))

    @classmethod
    def fitted(cls, known: Sequence[tuple[float, bool]]) -> Self | None:
        """Of probabilities, each with whether the field was right; None where fewer than LEAST_OF_EACH were, or were
        not."""
        right = [one for _, one in known]
        if min(sum(right), len(right) - sum(right)) < LEAST_OF_EACH:
            return None
        from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

        found = LogisticRegression().fit([[_logit(share)] for share, _ in known], right)
        return cls(float(found.coef_[0, 0]), float(found.intercept_[0]))


def _logit(share: float) -> float:
    return log(max(share, _NEAR) / max(1 - share, _NEAR))


class Reader:
    """Reads the fields of a text from the probabilities of its tokens' tags. `neighbours` are by how much more often
    than by chance a tag follows another, as a logarithm: shape (tags + 1, tags), the last row for the first token.
    `sure` makes of the probability of a field that is FILLED or EMPTY what it was worth in cross-validation; without,
    it is left as it is."""

    def __init__(
        self,
        prediction: type[Prediction],
        tags: Sequence[str],
        habit: Habit,
        neighbours: Floats,
        sure: Mapping[str, Sure] | None = None,
    ) -> None:
        self._prediction, self._habit, self._sure = prediction, habit, sure or {}
        self._fields = learnable(prediction)
        self._tags = [(tag[0], tuple(tag[2:].split("."))) for tag in tags]
        self._costs = np.array(neighbours, dtype=float).reshape(len(tags) + 1, len(tags))
        for place, tag in enumerate(tags):
            if tag[0] == "I":
                allowed = [before for before, other in enumerate(tags) if other != OUTSIDE and other[2:] == tag[2:]]
                others = np.setdiff1d(np.arange(len(tags) + 1), allowed)
                self._costs[others, place] = -np.inf

    def answer(self, page: Page, probabilities: Floats) -> Answer:
        """The fields with the confidence of each; an abstention where a required one is not found or cannot be read."""
        prediction, shares = self.told(page, probabilities)
        if prediction is None:
            return Answer.failed(Failure.ABSTAINED)
        confidences = {
            name: share if (sure := self._sure.get(kind)) is None else sure.of(share)
            for name, (kind, share) in shares.items()
        }
        return Answer(prediction, least(self._prediction, confidences), confidences=confidences)

    def told(self, page: Page, probabilities: Floats) -> tuple[Prediction | None, dict[str, tuple[str, float]]]:
        """The fields, and of each whether it is FILLED or EMPTY and how probable that is; nothing where a required one
        is not found, or cannot be read.

        That is the least probability among the tokens that it was read from; of a field that is empty, the probability
        of the likeliest of all tokens not to belong to it. Words of a field stand and fall together, so the least is
        nearer to the truth than their product.
        """
        if not page.tokens:
            probabilities = np.empty((0, len(self._tags)))
        found = self._found(page, probabilities)
        prediction = self._made(self._values(page, found))
        shares: dict[str, tuple[str, float]] = {}
        for name in fields_of(self._prediction) if prediction else ():
            parts = [span.probability for path, spans in found.items() if path[0] == name for span in spans]
            if present(getattr(prediction, name)) and parts:
                shares[name] = FILLED, min(*parts, 1.0)
            elif places := [place for place, (_, path) in enumerate(self._tags) if path[0] == name]:
                shares[name] = EMPTY, max(1 - float(probabilities[:, places].sum(1).max(initial=0.0)), 0.0)
        return prediction, shares

    def _found(self, page: Page, probabilities: Floats) -> dict[FieldPath, list[Span]]:
        """The spans of each field in their order; of one that holds a single value, the likeliest that can be read."""
        found: dict[FieldPath, list[Span]] = {}
        for path, span in self._spans(probabilities):
            field = self._fields[path]
            if read(field, page.of(span.begin, span.end), self._habit) is not None:
                found.setdefault(path, []).append(span)
        fields = fields_of(self._prediction)
        return {
            path: spans if fields[path[0]].many else [max(spans, key=lambda span: span.probability)]
            for path, spans in found.items()
        }

    def _spans(self, probabilities: Floats) -> Iterator[tuple[FieldPath, Span]]:
        """The likeliest sequence of tags, in which a field goes on only where it began.

        Source: Viterbi (1967), IEEE Transactions on Information Theory 13:260; probabilities of a classifier, divided
        by how frequent a tag is, in the place of likelihoods as in Bourlard and Morgan (1994), Connectionist Speech
        Recognition.
        """
        if not len(probabilities):
            return
        logs = np.log(np.maximum(probabilities, 1e-12))
        back = np.empty(logs.shape, dtype=int)
        best = logs[0] + self._costs[-1]
        for at in range(1, len(logs)):
            ways = best[:, None] + self._costs[:-1]
            back[at] = ways.argmax(0)
            best = ways.max(0) + logs[at]
        tags = [int(best.argmax())]
        for at in range(len(logs) - 1, 0, -1):
            tags.append(int(back[at, tags[-1]]))
        tags.reverse()
        begin = 0
        while begin < len(tags):
            kind, path = self._tags[tags[begin]]
            end = begin + 1
            while end < len(tags) and self._tags[tags[end]] == ("I", path):
                end += 1
            if kind != OUTSIDE:
                least = min(float(probabilities[at, tags[at]]) for at in range(begin, end))
                yield path, Span(begin, end, least)
            begin = end

    def _values(self, page: Page, found: Mapping[FieldPath, list[Span]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in fields_of(self._prediction).items():
            inner = {path: spans for path, spans in found.items() if path[0] == name}
            if field.nested is None:
                spans = inner.get((name,), [])
                read_ones = [self._read((name,), page, span) for span in spans]
                values[name] = read_ones if field.many else next(iter(read_ones), None)
            elif field.many:
                values[name] = self._rows(page, inner)
            else:
                values[name] = {path[1]: self._read(path, page, spans[0]) for path, spans in inner.items()} or None
        return values

    def _rows(self, page: Page, found: Mapping[FieldPath, list[Span]]) -> list[dict[str, Any]]:
        """The elements of a list of models: what stands in one line of the text belongs to one."""
        rows: dict[int, dict[FieldPath, Span]] = {}
        for path, spans in found.items():
            for span in spans:
                row = rows.setdefault(page.lines[span.begin], {})
                if path not in row or row[path].probability < span.probability:
                    row[path] = span
        return [
            {path[1]: self._read(path, page, span) for path, span in row.items()} for _, row in sorted(rows.items())
        ]

    def _read(self, path: FieldPath, page: Page, span: Span) -> Any:
        return read(self._fields[path], page.of(span.begin, span.end), self._habit)

    def _made(self, values: dict[str, Any]) -> Prediction | None:
        """The Prediction; without the optional fields and the elements of lists that it refuses, else None."""
        fields = self._prediction.model_fields
        given = {
            name: [] if value is None and fields_of(self._prediction)[name].many else value
            for name, value in values.items()
            if present(value) or fields[name].is_required()
        }
        while True:
            try:
                return self._prediction.model_validate(given)
            except ValidationError as error:
                refused = {place["loc"][:2] for place in error.errors() if place["loc"]}
            if not refused or not self._without(given, refused):
                return None

    def _without(self, given: dict[str, Any], refused: set[tuple[int | str, ...]]) -> bool:
        """Takes out what was refused. Whether there was anything that may be taken out."""
        changed = False
        for name in {str(loc[0]) for loc in refused}:
            field = fields_of(self._prediction).get(name)
            if field is None or not present(given.get(name)):
                continue
            elements = {loc[1] for loc in refused if loc[0] == name and len(loc) == 2}
            if field.many and isinstance(given[name], list) and elements:
                given[name] = [one for place, one in enumerate(given[name]) if place not in elements]
            elif field.optional:
                if self._prediction.model_fields[name].is_required():
                    given[name] = None
                else:
                    del given[name]
            else:
                continue
            changed = True
        return changed


class FieldExtractor:
    """Answers with the fields that it finds in a text, and with a confidence for each.

    `text(item)` returns the text to read; `prediction` is the team's Prediction, whose fields are filled.
    Raises ModelUnavailable when the artefact cannot be served as it is.
    """

    def __init__(self, artefact: Artefact, *, text: Callable[[Any], str], prediction: type[Prediction]) -> None:
        card = artefact.card
        check_steps(card, STEPS)
        known = {".".join(path) for path in learnable(prediction)}
        if foreign := sorted({tag[2:] for tag in card.labels if tag != OUTSIDE} - known):
            raise ModelUnavailable(
                f"Model {card.version} finds fields that {prediction.__name__} does not have: {', '.join(foreign)}. "
                "Add them there, or run `pilot model train` to make one for its fields."
            )
        self.version = card.version
        self._card, self._text = card, text
        self._session = Session(artefact.onnx)
        try:
            kept = json.loads(artefact.beside)
            # A model of before knows nothing of that.
            sure = {kind: Sure(**found) for kind, found in kept.get("sure", {}).items()}
            self._reader = Reader(prediction, card.labels, Habit(**kept["habit"]), kept["neighbours"], sure)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelUnavailable(
                f"Model {card.version} does not hold what an extraction needs ({type(error).__name__}). "
                "Run `pilot model train` to make a new one."
            ) from None

    @classmethod
    def load(cls, settings: Settings, *, text: Callable[[Any], str], prediction: type[Prediction]) -> Self:
        """The model in force. Raises ModelUnavailable when there is none that may be served."""
        return cls(load_active(settings, "extract"), text=text, prediction=prediction)

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        """One answer for each item, in their order. An item whose text cannot be had fails alone."""
        texts = [text_of(self._text, item) for item in items]
        pages = [Page(text) for text in texts if text is not None]
        answers = iter(
            [
                Answer(
                    answer.prediction,
                    answer.confidence,
                    failure=answer.failure,
                    trained=learned_from(self._card, words(page.text)),
                    confidences=answer.confidences,
                )
                for page, probabilities in zip(pages, _probabilities(self._session, pages), strict=True)
                for answer in [self._reader.answer(page, probabilities)]
            ]
        )
        return [Answer.failed(Failure.ERROR) if text is None else next(answers) for text in texts]


def _probabilities(session: Session, pages: Sequence[Page]) -> Iterator[Floats]:
    """The probabilities of the tags of each page's tokens: shape (tokens, tags)."""
    rows = [row for page in pages for row in page.features()]
    parts = [session(np.array(rows[at : at + _CHUNK], dtype=object)) for at in range(0, len(rows), _CHUNK)]
    all_of_them = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
    at = 0
    for page in pages:
        yield all_of_them[at : at + len(page.tokens)]
        at += len(page.tokens)


class Lesson:
    """A text with the tags that the final decision gives its tokens; `lost` are the values that it does not hold.

    Where it holds a value at several places, the one counts before which there stand words that are `familiar` before
    this field: how often `before` was counted in all lessons."""

    def __init__(self, text: str, final: Prediction, familiar: Mapping[tuple[str, ...], float] | None = None) -> None:
        self.page, self.final = Page(text), final
        self._familiar = familiar or {}
        self.before: dict[tuple[str, ...], float] = {}
        self.tags = [OUTSIDE] * len(self.page.tokens)
        self.found: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.votes: Counter[Habit] = Counter()
        fields = learnable(type(final))
        values: list[tuple[FieldPath, Any]] = [
            (path, one)
            for path, field in fields.items()
            if len(path) == 1
            for one in _several(getattr(final, path[0]), field)
        ]
        for name, outer in fields_of(type(final)).items():
            if outer.nested and not outer.many and (whole := getattr(final, name)) is not None:
                values += [
                    (path, one)
                    for path, field in fields.items()
                    if path[0] == name
                    for one in _several(getattr(whole, path[1]), field)
                ]
        # The longest first, so that York is not taken out of New York.
        for path, value in sorted(values, key=lambda pair: -len(str(pair[1]))):
            self._tag(path, fields[path], value, 0, len(self.tags))
        for name, outer in fields_of(type(final)).items():
            if outer.nested and outer.many:
                self._rows({path: field for path, field in fields.items() if path[0] == name}, getattr(final, name))

    def _rows(self, fields: dict[FieldPath, FieldType], elements: Sequence[Any] | None) -> None:
        """Each element of a list of models is sought in the line that holds the most of its values."""
        lines: dict[int, list[int]] = {}
        for place, line in enumerate(self.page.lines):
            lines.setdefault(line, []).append(place)
        for element in elements or ():
            values = [
                (path, one) for path, field in fields.items() for one in _several(getattr(element, path[1]), field)
            ]
            held = Counter(
                line
                for path, value in values
                for line in {self.page.lines[first] for first, _ in self._places(fields[path], value)}
                if line in lines
            )
            best = min(held, key=lambda line: (-held[line], line), default=None)
            if best is None:
                self.lost.update(".".join(path) for path, _ in values)
                continue
            places = lines.pop(best)
            for path, value in sorted(values, key=lambda pair: -len(str(pair[1]))):
                self._tag(path, fields[path], value, places[0], places[-1] + 1)

    def _tag(self, path: FieldPath, field: FieldType, value: Any, begin: int, end: int) -> None:
        """Tags free tokens from `begin` to before `end` that hold the value."""
        name = ".".join(path)
        places = [place for place in self._places(field, value) if begin <= place[0] and place[1] <= end]
        for first, _ in places:
            for words_before in self._before(name, first):
                self.before[words_before] = self.before.get(words_before, 0) + 1 / len(places)
        for first, last in sorted(places, key=lambda place: -self._familiarity(name, place[0])):
            if all(tag == OUTSIDE for tag in self.tags[first:last]):
                self.found[name] += 1
                self.tags[first:last] = [f"B-{name}", *[f"I-{name}"] * (last - first - 1)]
                return
        self.lost[name] += 1

    def _before(self, name: str, place: int) -> list[tuple[str, ...]]:
        """The field with the one and the two words before a place."""
        return [(name, *self.page.folded[max(place - count, 0) : place]) for count in (1, 2)]

    def _familiarity(self, name: str, place: int) -> float:
        return sum(self._familiar.get(words_before, 0) for words_before in self._before(name, place))

    def _places(self, field: FieldType, value: Any) -> Iterator[tuple[int, int]]:
        """The tokens that hold a value, whichever way it is written."""
        page = self.page
        if not field.choices and _of(field, int | float | Decimal | date):
            kinds = page.moments if _of(field, datetime) else page.days if _of(field, date) else page.numbers
            value = Decimal(str(value)) if isinstance(value, float) else value
            for one in kinds:
                by = [habit for habit, meaning in one.meanings.items() if meaning == value]
                if by:
                    self.votes.update(by)
                    yield one.begin, one.end
            return
        said = str(value.value if isinstance(value, Enum) else value)
        for form in (said, *(sign for sign, code in spellings.SIGNS.items() if field.choices and code == said)):
            sought = Page(form).folded
            for first in range(len(page.folded) - len(sought) + 1):
                if page.folded[first : first + len(sought)] == sought:
                    yield first, first + len(sought)


def _several(value: Any, field: FieldType) -> list[Any]:
    """The values that a field holds."""
    if not present(value):
        return []
    return list(value) if field.many else [value]


def train_field_extractor(
    items: Sequence[Any],
    finals: Sequence[Prediction],
    settings: Settings,
    *,
    text: Callable[[Any], str],
    progress: Callable[[str], None] | None = None,
) -> TrainingReport:
    """Learns from the items' texts where the fields of the final decisions stand in them, checks the exported model,
    keeps it and puts it in force.

    A logistic regression over the words, shapes and neighbours of tokens, each of which begins a field, continues one
    or is outside of all. A value that its text does not hold, however it may be written, teaches nothing, and is told.

    Raises PilotError when the data do not allow it, when the extra `train` is not installed, or when ONNX and
    scikit-learn agree on less than 99.5 % of the rows. Then nothing is kept.
    """
    begun = time.perf_counter()
    say = progress or (lambda line: None)
    if len(items) != len(finals):
        raise PilotError(f"There are {len(items)} items but {len(finals)} final decisions. Give one for each item.")
    if len(items) < FEWEST:
        raise PilotError(f"There are {len(items)} rows to learn from. Give a file with at least {FEWEST} rows.")
    texts, prediction = [text(item) for item in items], type(finals[0])
    familiar: Counter[tuple[str, ...]] = Counter()
    for one, final in zip(texts, finals, strict=True):
        familiar.update(Lesson(one, final).before)
    lessons = [Lesson(one, final, familiar) for one, final in zip(texts, finals, strict=True)]
    found = sum((lesson.found for lesson in lessons), Counter[str]())
    lost = sum((lesson.lost for lesson in lessons), Counter[str]())
    _check(prediction, found)
    habit = max(spellings.HABITS, key=lambda one: sum(lesson.votes[one] for lesson in lessons))
    for line in limits(texts):
        say(line)
    if lost:
        say(
            f"{lost.total()} of {(found + lost).total()} values are not in their text as they are written, and teach "
            "nothing: " + ", ".join(f"{count} of {name}" for name, count in lost.most_common()) + "."
        )

    say(f"Cross-validating on {len(texts)} rows with {len(found)} fields.")
    folds = min(FOLDS, len(texts))
    tokens = Tokens(lessons)
    curve, right, sure = _cross_validate(tokens, prediction, habit, folds)
    accuracy = curve[-1][1]
    say(
        f"Every field right in {accuracy:.3f} of the rows that the model did not see, and {right:.3f} of the fields "
        "that hold anything. Training on all rows."
    )
    for kind, found_sure in sure.items():
        say(f"Fields that are {kind} with a probability of 95 % were right in about {found_sure.of(0.95):.0%}.")
    classifier = tokens.fitted(range(len(lessons)))
    onnx = _exported(tokens.names, classifier)
    neighbours = tokens.neighbours(classifier, range(len(lessons))).round(4).tolist()

    say("Comparing the exported model with scikit-learn on every row.")
    session = Session(onnx)
    served = (next(_probabilities(session, [lesson.page])) for lesson in lessons)
    same = [
        np.array_equal(probabilities.argmax(1), tokens.probabilities(classifier, row).argmax(1))
        for row, probabilities in enumerate(served)
    ]
    return keep(
        settings,
        say,
        begun=begun,
        texts=texts,
        finals=[final.model_dump(mode="json") for final in finals],
        onnx=onnx,
        task="extract",
        steps=STEPS,
        beside=json.dumps(
            {
                "habit": asdict(habit),
                "neighbours": neighbours,
                "sure": {kind: asdict(found_sure) for kind, found_sure in sure.items()},
            }
        ).encode(),
        labels=tuple(map(str, classifier.classes_)),
        agreement=sum(same) / len(same),
        accuracy=accuracy,
        folds=folds,
        curve=curve,
        scores=(Score(name="fields right", value=right),),
        learned=f"{len(found)} fields",
    )


def _check(prediction: type[Prediction], found: Counter[str]) -> None:
    """Raises PilotError where a required field cannot be learned."""
    if not found:
        raise PilotError(
            "No value of any field is in the text of its row, so there is nothing to learn. Look at the columns that "
            "the texts and the fields come from."
        )
    taught = {name.split(".")[0] for name in found}
    for name, field in fields_of(prediction).items():
        if not field.optional and not field.many and name not in taught:
            raise PilotError(
                f"{prediction.__name__} requires {name}, and no row has its value in the text, so it cannot be "
                "learned. Make the field optional, or leave it to people."
            )


class Tokens:
    """The tokens of all lessons as rows of a sparse matrix, a column for each feature. Raises PilotError when the extra
    `train` is not installed."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        try:
            import onnx  # noqa: F401
            from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
        except ImportError:
            raise PilotError(
                "scikit-learn or onnx is not installed. Training needs `ai-pilot-wrapper[train]`: run `uv sync` with "
                "the dev group."
            ) from None
        vectoriser = CountVectorizer(analyzer=list, binary=True, min_df=OCCURRENCES, dtype=np.float64)
        self.lessons = lessons
        self.matrix = vectoriser.fit_transform(row for lesson in lessons for row in lesson.page.features())
        self.names = list(vectoriser.get_feature_names_out())
        self.tags = np.array([tag for lesson in lessons for tag in lesson.tags])
        self._ends = np.cumsum([0, *(len(lesson.tags) for lesson in lessons)])

    def rows(self, lesson: int) -> slice:
        return slice(int(self._ends[lesson]), int(self._ends[lesson + 1]))

    def fitted(self, lessons: Sequence[int]) -> Any:
        """A logistic regression on the tokens of these lessons. Raises ValueError where all have the same tag."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

        rows = np.concatenate([np.arange(self.rows(one).start, self.rows(one).stop) for one in lessons])
        # More threads only fight over the same cores on rows as short as these.
        with threadpool_limits(1):
            return LogisticRegression(C=STRENGTH, max_iter=MAX_STEPS).fit(self.matrix[rows], self.tags[rows])

    def neighbours(self, classifier: Any, lessons: Sequence[int]) -> Floats:
        """By how much more often than by chance a tag follows another in these lessons, as `Reader` takes it."""
        places = {tag: place for place, tag in enumerate(classifier.classes_)}
        pairs = np.full((len(places) + 1, len(places)), _UNSEEN)
        for lesson in lessons:
            before = len(places)
            for tag in self.lessons[lesson].tags:
                pairs[before, places[tag]] += 1
                before = places[tag]
        by_chance = pairs.sum(0) / pairs.sum()
        found: Floats = NEIGHBOURS * np.log(pairs / pairs.sum(1, keepdims=True) / by_chance)
        return found

    def probabilities(self, classifier: Any, lesson: int) -> Floats:
        """What scikit-learn gives for the tokens of a lesson: shape (tokens, tags)."""
        if not self.lessons[lesson].tags:
            return np.empty((0, len(classifier.classes_)))
        found: Floats = classifier.predict_proba(self.matrix[self.rows(lesson)])
        return found


def _cross_validate(
    tokens: Tokens, prediction: type[Prediction], habit: Habit, folds: int
) -> tuple[tuple[tuple[int, float], ...], float, dict[str, Sure]]:
    """The learning curve by the share of rows with every field right, the share of right fields among those that the
    decisions fill, and what the confidences are worth, by models that were trained on the other folds."""
    lessons = tokens.lessons
    order = np.random.default_rng(0).permutation(len(lessons))
    rows, right = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    filled = hits = 0
    known: dict[str, list[tuple[float, bool]]] = {FILLED: [], EMPTY: []}
    for fold in range(folds):
        held_out, others = order[fold::folds], np.concatenate([order[k::folds] for k in range(folds) if k != fold])
        for part in list(rows):
            learned = others[: max(1, round(part * len(others)))].tolist()
            try:
                classifier = tokens.fitted(learned)
            except ValueError as error:
                if part == PARTS[-1]:
                    raise PilotError(
                        f"A part of the rows teaches nothing ({error}). Give more rows whose fields are filled."
                    ) from None
                del rows[part]  # a smaller part may hold no field where the whole does
                continue
            neighbours = tokens.neighbours(classifier, learned)
            reader = Reader(prediction, list(classifier.classes_), habit, neighbours)
            rows[part] += len(learned)
            for row in held_out:
                lesson = lessons[row]
                answer, shares = reader.told(lesson.page, tokens.probabilities(classifier, row))
                right[part] += answer is not None and answer.agrees(lesson.final)
                if part == PARTS[-1]:
                    matches = {name: one.match for name, one in scores(answer, lesson.final, prediction).items()}
                    for name, (kind, share) in shares.items():
                        known[kind].append((share, matches[name].agrees))
                    judged = matches.values()
                    filled += sum(match not in (Match.EMPTY, Match.SPURIOUS) for match in judged)
                    hits += sum(match is Match.RIGHT for match in judged)
    curve = {round(rows[part] / folds): right[part] / len(lessons) for part in rows}
    return (
        tuple(curve.items()),
        hits / filled,
        {kind: sure for kind, rows_of in known.items() if (sure := Sure.fitted(rows_of)) is not None},
    )


def _exported(names: list[str], classifier: Any) -> bytes:
    """The classifier as ONNX: features as texts, shape (tokens, features of each), to the probabilities of the tags.

    skl2onnx would make a column for each of the features; here the rows of weights are looked up and added."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.vstack([classifier.coef_.T, np.zeros((1, len(classifier.coef_)))]).astype(np.float32)
    bias = classifier.intercept_.astype(np.float32)
    if len(classifier.classes_) == 2:  # scikit-learn keeps the weights of the second alone
        weights, bias = np.hstack([-weights / 2, weights / 2]), np.hstack([-bias / 2, bias / 2])
    graph = helper.make_graph(
        [
            helper.make_node(
                "LabelEncoder",
                ["features"],
                ["places"],
                domain="ai.onnx.ml",
                keys_strings=names,
                values_int64s=list(range(len(names))),
                default_int64=len(names),
            ),
            helper.make_node("Gather", ["weights", "places"], ["terms"]),
            helper.make_node("ReduceSum", ["terms", "axis"], ["sums"], keepdims=0),
            helper.make_node("Add", ["sums", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "tokens",
        [helper.make_tensor_value_info("features", TensorProto.STRING, [None, None])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(bias)])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    exported: bytes = model.SerializeToString()
    return exported
