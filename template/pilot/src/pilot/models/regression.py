"""A number from a text: a ridge regression on ONNX Runtime, the interval that its errors allow, and its training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pilot.contract import INTERVAL, Answer, Failure, ModelUnavailable, PilotError, Prediction
from pilot.fields import Within, fields_of
from pilot.models.onnx import Session, check_steps, learned_from, text_of
from pilot.models.store import FIX, Artefact, Score, load_active
from pilot.models.text import STEPS, words
from pilot.models.training import PARTS, TrainingReport, exported, keep, limits, taught, vectoriser
from pilot.settings import Settings

# Chosen by cross-validation in five parts on Story points (1,344 texts): a mean absolute error of 1.41, against 1.43
# for 0.3 and 1.44 for 3. Counting a word each time that it occurs was worse by 0.01.
STRENGTH = 1.0
FOLDS, FEWEST = 5, 10
# Of the errors, so many quantiles are kept at most.
_ERRORS = 1001
# Where the field says no tolerance, the confidence is that the number is not off by more than this part of it.
_HALF = Within(relative=0.5)
# The exported model may differ by so much on the scale of the regression.
_SAME = 1e-3

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scale:
    """The scale of the regression, the least and greatest number that it learned, which no answer leaves, and the
    errors (truth less answer) on that scale of models that had not seen the row, in ascending order."""

    logarithmic: bool
    low: float
    high: float
    errors: tuple[float, ...]

    def of(self, values: Any) -> Any:
        return np.log1p(values) if self.logarithmic else values

    def back(self, scaled: Any) -> Any:
        return np.expm1(scaled) if self.logarithmic else scaled

    def number(self, scaled: float) -> float:
        """The number that is answered: in the range that was learned, with three digits, more than it knows."""
        return float(f"{min(max(float(self.back(scaled)), self.low), self.high):.3g}")

    def interval(self, scaled: float, coverage: float = INTERVAL) -> tuple[float, float]:
        """The prediction interval: with the quantiles of the errors around the answer. Its ends have three digits, and
        are not below 0 where no number that was learned is.

        Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; cross-conformal, with the
        errors of K-fold cross-validation as in CV+ (Barber et al., 2021, Annals of Statistics 49:486), around the model
        of all rows. It holds for rows of the same kind; those of later may differ.
        """
        count = len(self.errors)
        tail = (1 - coverage) / 2
        first = max(math.floor(tail * (count + 1)) - 1, 0)
        last = min(math.ceil((1 - tail) * (count + 1)) - 1, count - 1)
        ends = np.array([self.back(scaled + self.errors[first]), self.back(scaled + self.errors[last])])
        low, high = (float(f"{end:.3g}") for end in (np.maximum(ends, 0.0) if self.logarithmic else ends))
        return low, high

    def within(self, scaled: float, tolerance: Within) -> float:
        """The share of the errors by which the answer would count as right, in [0, 1].

        Source: the conformal predictive distribution of Vovk et al. (2019), Machine Learning 108:445, of which this is
        the mass where `Within` holds.
        """
        truths = self.back(scaled + np.array(self.errors))
        allowed = np.maximum(_days(tolerance.absolute), tolerance.relative * np.abs(truths)) * (1 + 1e-9)
        return float(np.mean(np.abs(truths - self.number(scaled)) <= allowed))


def _days(absolute: float | timedelta) -> float:
    return absolute / timedelta(days=1) if isinstance(absolute, timedelta) else absolute


class TextRegressor:
    """Answers with a number for a text. Its confidence is the share of the errors in training by which it would be
    right: within the tolerance `Within` of the Prediction's number, or within half of it where it has none. Where one
    field of the Prediction holds the number as it was learned, rounded or not, the answer has its interval.

    `text(item)` returns the text; `prediction(number)` makes the team's Prediction, and an item whose number it refuses
    has no answer. Raises ModelUnavailable when the artefact cannot be served as it is.
    """

    def __init__(
        self, artefact: Artefact, *, text: Callable[[Any], str], prediction: Callable[[float], Prediction]
    ) -> None:
        check_steps(artefact.card, STEPS)
        self.version = artefact.card.version
        self._card, self._text, self._prediction = artefact.card, text, prediction
        self._session = Session(artefact.onnx)
        try:
            self._scale = Scale(**json.loads(artefact.beside))
        except (TypeError, ValueError) as error:
            raise ModelUnavailable(
                f"Model {self.version} does not hold what a regression needs ({type(error).__name__}). {FIX}"
            ) from None

    @classmethod
    def load(cls, settings: Settings, *, text: Callable[[Any], str], prediction: Callable[[float], Prediction]) -> Self:
        """The model in force. Raises ModelUnavailable when there is none that may be served."""
        return cls(load_active(settings, "score"), text=text, prediction=prediction)

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        """One answer for each item, in their order. An item whose text cannot be had fails alone."""
        texts = [text_of(self._text, item) for item in items]
        prepared = [words(text) for text in texts if text is not None]
        scaled: Iterator[float] = iter(_scaled(self._session, prepared) if prepared else [])
        return [
            Answer.failed(Failure.ERROR) if text is None else self._answer(words(text), next(scaled)) for text in texts
        ]

    def interval(self, item: Any, coverage: float = INTERVAL) -> tuple[float, float]:
        """Between what the number lies with probability `coverage`, as far as the item is like those in training."""
        return self._scale.interval(float(_scaled(self._session, [words(self._text(item))])[0]), coverage)

    def _answer(self, prepared: str, scaled: float) -> Answer:
        try:
            prediction = self._prediction(self._scale.number(scaled))
        except ValidationError:
            return Answer.failed(Failure.ABSTAINED)
        numbers = [field for field in fields_of(type(prediction)).values() if field.number]
        asked = next((field.comparison for field in numbers if isinstance(field.comparison, Within)), _HALF)
        confidence, known = self._scale.within(scaled, asked), learned_from(self._card, prepared)
        of_number = [field.name for field in numbers if self._holds(getattr(prediction, field.name), scaled)]
        intervals = {of_number[0]: self._scale.interval(scaled)} if len(of_number) == 1 else None
        return Answer(prediction, confidence, trained=known, intervals=intervals)

    def _holds(self, value: Any, scaled: float) -> bool:
        """Whether a field holds the number itself, rounded or not, so that the interval is one of the field."""
        number = self._scale.number(scaled)
        rounded = (number, *(round(number, digits) for digits in range(4)))
        return isinstance(value, int | float | Decimal) and float(value) in rounded


def _scaled(session: Session, prepared: Sequence[str], batch: int = 256) -> Floats:
    """The numbers on the scale of the regression."""
    parts = [session.column(prepared[at : at + batch]) for at in range(0, len(prepared), batch)]
    return np.concatenate(parts).ravel()


def train_text_regressor(
    items: Sequence[Any],
    values: Sequence[float],
    settings: Settings,
    *,
    text: Callable[[Any], str],
    progress: Callable[[str], None] | None = None,
) -> TrainingReport:
    """Learns numbers from the items' texts, checks the exported model, keeps it and puts it in force.

    TF-IDF of single words and a ridge regression on the logarithm of 1 plus the number; on the number itself where one
    is below 0. The numbers are in any unit, and the answers in the same.

    Raises PilotError when the data do not allow it, when the extra `train` is not installed, or when ONNX and
    scikit-learn agree on less than 99.5 % of the rows. Then nothing is kept.
    """
    begun = time.perf_counter()
    say = progress or (lambda line: None)
    numbers = _checked(items, values)
    texts = [text(item) for item in items]
    prepared = np.array([words(one) for one in texts], dtype=object)
    logarithmic = bool(numbers.min() >= 0)
    scale = Scale(logarithmic, float(numbers.min()), float(numbers.max()), (0.0,))
    targets = scale.of(numbers)

    for line in limits(texts):
        say(line)
    say(f"Cross-validating on {len(texts)} rows, whose numbers are from {scale.low:g} to {scale.high:g}.")
    curve, errors, covered = _cross_validate(prepared, targets, scale)
    median = float(np.mean(np.abs(numbers - np.median(numbers))))
    say(
        f"Off by {curve[-1][1]:.3g} on average on rows that the model did not see; the median of all rows is by "
        f"{median:.3g}. {covered:.1%} of the numbers are in their interval of {INTERVAL:.0%}. Training on all rows."
    )
    pipeline = _pipeline().fit(prepared, targets)
    onnx = exported(pipeline, pipeline[0])

    say("Comparing the exported model with scikit-learn on every row.")
    differences = np.abs(_scaled(Session(onnx), list(prepared)) - pipeline.predict(prepared).ravel())
    kept = np.quantile(errors, np.linspace(0, 1, min(len(errors), _ERRORS)))
    scale = Scale(logarithmic, scale.low, scale.high, tuple(map(float, kept)))
    return keep(
        settings,
        say,
        begun=begun,
        texts=texts,
        finals=numbers.tolist(),
        onnx=onnx,
        task="score",
        beside=json.dumps(asdict(scale)).encode(),
        agreement=float(np.mean(differences <= _SAME)),
        folds=FOLDS,
        scores=(
            Score(name="mean absolute error", value=curve[-1][1], better="less", curve=curve),
            Score(name="mean absolute error of the median", value=median, better="less"),
            Score(name=f"share of numbers in their interval of {INTERVAL:.0%}", value=covered),
        ),
        learned=f"numbers from {scale.low:g} to {scale.high:g}",
    )


def _checked(items: Sequence[Any], values: Sequence[float]) -> Floats:
    if len(items) != len(values):
        raise PilotError(f"There are {len(items)} items but {len(values)} numbers. Give one number for each item.")
    if len(items) < FEWEST:
        raise PilotError(f"There are {len(items)} rows to learn from. Give a file with at least {FEWEST} rows.")
    numbers = np.array([float(value) for value in values])
    if not np.isfinite(numbers).all():
        raise PilotError("Some rows have a number that is not finite. Correct it, or leave those rows out.")
    if numbers.min() == numbers.max():
        raise PilotError(f"All rows have the number {numbers[0]:g}. A model needs rows that differ.")
    return numbers


def _pipeline() -> Any:
    of_words = vectoriser()
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    return make_pipeline(of_words, Ridge(STRENGTH))


def _cross_validate(
    prepared: npt.NDArray[np.object_], targets: Floats, scale: Scale
) -> tuple[tuple[tuple[int, float], ...], Floats, float]:
    """The learning curve by the mean absolute error of the numbers; the errors on the scale of the regression of models
    that did not see the row; and the share of numbers in the interval that the errors of the other folds allow."""
    order = np.random.default_rng(0).permutation(len(targets))
    rows, off = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0.0)
    errors, answers = np.zeros(len(targets)), np.zeros(len(targets))
    for fold in range(FOLDS):
        held_out, others = order[fold::FOLDS], np.concatenate([order[k::FOLDS] for k in range(FOLDS) if k != fold])
        for part in list(rows):
            learned = others[: max(1, round(part * len(others)))]
            pipeline = _pipeline()
            if not taught(pipeline, prepared[learned], targets[learned], part):
                del rows[part]
                continue
            scaled = pipeline.predict(prepared[held_out])
            rows[part] += len(learned)
            found = [scale.number(one) for one in scaled]
            off[part] += float(np.abs(np.array(found) - scale.back(targets[held_out])).sum())
            if part == PARTS[-1]:
                answers[held_out], errors[held_out] = scaled, targets[held_out] - scaled
    inside = 0
    for fold in range(FOLDS):
        held_out = order[fold::FOLDS]
        others = np.sort(np.delete(errors, held_out))
        of_others = Scale(logarithmic=False, low=scale.low, high=scale.high, errors=tuple(others))
        for row in held_out:
            low, high = of_others.interval(answers[row])
            inside += low <= targets[row] <= high
    curve = {round(rows[part] / FOLDS): off[part] / len(targets) for part in rows}
    return tuple(curve.items()), errors, inside / len(targets)
