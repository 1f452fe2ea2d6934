"""The reply of the most similar past case, by the words that ONNX Runtime weighs, and how the cases are kept."""

from __future__ import annotations

import base64
import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pilot.contract import Answer, Failure, ModelUnavailable, PilotError, Prediction
from pilot.fields import similarity
from pilot.models.onnx import Session, check_steps, learned_from, text_of
from pilot.models.store import FIX, Artefact, Score, load_active
from pilot.models.text import STEPS, words
from pilot.models.training import PARTS, TrainingReport, exported, keep, limits, vectoriser
from pilot.settings import Settings

FOLDS, FEWEST = 5, 4
# So many characters of a case's text name it where it has no id.
_NAME = 60
_BATCH = 64

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Cases:
    """Past cases: the reply and the name of each, and for each word which cases hold it, with its weight in them."""

    replies: tuple[str, ...]
    names: tuple[str, ...]
    begins: npt.NDArray[np.int32]
    holders: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def read(cls, content: bytes) -> Cases:
        """Raises KeyError, TypeError or ValueError where the content is not as `written`."""
        kept = json.loads(content)
        arrays = [
            np.frombuffer(base64.b64decode(kept[name]), dtype=kind)
            for name, kind in (("begins", "<i4"), ("holders", "<i4"), ("weights", "<f4"))
        ]
        return cls(tuple(kept["replies"]), tuple(kept["names"]), *arrays)

    def written(self) -> bytes:
        arrays = (("begins", self.begins, "<i4"), ("holders", self.holders, "<i4"), ("weights", self.weights, "<f4"))
        kept = {name: base64.b64encode(array.astype(kind).tobytes()).decode() for name, array, kind in arrays}
        return json.dumps({"replies": self.replies, "names": self.names, **kept}).encode()

    def nearest(self, vector: Floats) -> tuple[int, float] | None:
        """The case whose text is the most similar to one with this vector of words, the first of several, and the
        cosine of the two in [0, 1]. None where no case has one of its words."""
        likeness = np.zeros(len(self.replies))
        for word in np.flatnonzero(vector):
            inside = slice(self.begins[word], self.begins[word + 1])
            likeness[self.holders[inside]] += float(vector[word]) * self.weights[inside]
        best = int(likeness.argmax())
        return (best, min(float(likeness[best]), 1.0)) if likeness[best] > 0 else None


class SimilarCase:
    """Answers with the reply that was sent in the most similar past case, and with the cosine of the two texts as the
    confidence. Where none of the text's words is known, it has no answer.

    `text(item)` returns the text; `prediction(reply)` makes the team's Prediction, or `prediction(reply, case)`, where
    `case` names the case that the reply is from. Raises ModelUnavailable when the artefact cannot be served as it is.
    """

    def __init__(
        self, artefact: Artefact, *, text: Callable[[Any], str], prediction: Callable[..., Prediction]
    ) -> None:
        check_steps(artefact.card, STEPS)
        self.version = artefact.card.version
        self._card, self._text, self._prediction = artefact.card, text, prediction
        self._names_case = len(inspect.signature(prediction).parameters) > 1
        self._session = Session(artefact.onnx)
        try:
            self._cases = Cases.read(artefact.beside)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelUnavailable(
                f"Model {self.version} does not hold the past cases ({type(error).__name__}). {FIX}"
            ) from None

    @classmethod
    def load(cls, settings: Settings, *, text: Callable[[Any], str], prediction: Callable[..., Prediction]) -> Self:
        """The model in force. Raises ModelUnavailable when there is none that may be served."""
        return cls(load_active(settings, "draft"), text=text, prediction=prediction)

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        """One answer for each item, in their order. An item whose text cannot be had fails alone."""
        texts = [text_of(self._text, item) for item in items]
        prepared = [words(text) for text in texts if text is not None]
        answers = (
            self._answer(known, vector)
            for at in range(0, len(prepared), _BATCH)
            for known, vector in zip(
                prepared[at : at + _BATCH], self._session.column(prepared[at : at + _BATCH]), strict=True
            )
        )
        return [Answer.failed(Failure.ERROR) if text is None else next(answers) for text in texts]

    def _answer(self, prepared: str, vector: Floats) -> Answer:
        if (found := self._cases.nearest(vector)) is None:
            return Answer.failed(Failure.ABSTAINED)
        case, likeness = found
        given = (self._cases.replies[case], self._cases.names[case])
        try:
            prediction = self._prediction(*given[: 1 + self._names_case])
        except ValidationError:
            return Answer.failed(Failure.ABSTAINED)
        return Answer(prediction, likeness, trained=learned_from(self._card, prepared))


def train_similar_case(
    items: Sequence[Any],
    replies: Sequence[str],
    settings: Settings,
    *,
    text: Callable[[Any], str],
    progress: Callable[[str], None] | None = None,
) -> TrainingReport:
    """Keeps the items with their replies as the past cases, by the TF-IDF of their words, checks the exported model
    and puts it in force. The replies are in the store in clear, beside the model; so are the first words of texts that
    have no `id`.

    Raises PilotError when the data do not allow it, when the extra `train` is not installed, or when ONNX and
    scikit-learn find the same case for less than 99.5 % of the rows. Then nothing is kept.
    """
    begun = time.perf_counter()
    say = progress or (lambda line: None)
    if len(items) != len(replies):
        raise PilotError(f"There are {len(items)} items but {len(replies)} replies. Give one reply for each item.")
    if len(items) < FEWEST:
        raise PilotError(f"There are {len(items)} rows to learn from. Give a file with at least {FEWEST} rows.")
    if any(not reply.strip() for reply in replies):
        raise PilotError("Some rows have an empty reply. Fill it in, or leave those rows out.")
    texts = [text(item) for item in items]
    prepared = [words(one) for one in texts]
    if not any(prepared):
        raise PilotError("The texts hold no words to learn from. Look at the column that they come from.")

    for line in limits(texts):
        say(line)
    say(f"Cross-validating on {len(texts)} past cases.")
    folds = min(FOLDS, len(texts))
    curve = _cross_validate(prepared, replies, folds)
    say(f"{curve[-1][1]:.1%} of the words of a reply stayed where the case itself was not known. Keeping all cases.")
    of_words = vectoriser()
    matrix = of_words.fit_transform(prepared)
    onnx = exported(of_words, of_words)
    columns = matrix.tocsc()
    names = [_name(item, row, one) for row, (item, one) in enumerate(zip(items, texts, strict=True), start=1)]
    cases = Cases(tuple(replies), tuple(names), columns.indptr, columns.indices, columns.data.astype(np.float32))

    say("Comparing the exported model with scikit-learn on every case.")
    return keep(
        settings,
        say,
        begun=begun,
        texts=texts,
        finals=list(replies),
        onnx=onnx,
        task="draft",
        beside=cases.written(),
        agreement=_agreement(Session(onnx), cases, matrix, prepared),
        folds=folds,
        scores=(Score(name="edit similarity", value=curve[-1][1], curve=curve),),
        learned="their replies",
    )


def _name(item: Any, row: int, text: str) -> str:
    """What a case is called: its own id, or its row and first words."""
    if (own := getattr(item, "id", None)) not in (None, ""):
        return str(own)
    begin = " ".join(text.split())
    return f"row {row}: {begin if len(begin) <= _NAME else begin[:_NAME].rstrip() + '…'}"


def _agreement(session: Session, cases: Cases, matrix: Any, prepared: Sequence[str]) -> float:
    """The share of the rows for which the exported model and scikit-learn find cases that are as similar."""
    same = 0
    for at in range(0, len(prepared), _BATCH):
        vectors = session.column(prepared[at : at + _BATCH])
        likeness = (matrix[at : at + _BATCH] @ matrix.T).toarray()
        for of_row, vector in zip(likeness, vectors, strict=True):
            found = cases.nearest(vector)
            same += of_row.max() <= 0 if found is None else abs(of_row[found[0]] - of_row.max()) < 1e-5
    return same / len(prepared)


def _cross_validate(prepared: Sequence[str], replies: Sequence[str], folds: int) -> tuple[tuple[int, float], ...]:
    """The learning curve: cases known, and how much of a reply stayed that was taken from the other folds;
    nothing of it where none of the words was known."""
    order = np.random.default_rng(0).permutation(len(prepared))
    rows, stayed = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0.0)
    for fold in range(folds):
        held_out, others = order[fold::folds], np.concatenate([order[k::folds] for k in range(folds) if k != fold])
        for part in PARTS:
            known = others[: max(1, round(part * len(others)))]
            rows[part] += len(known)
            if not any(prepared[row] for row in known):
                continue
            of_words = vectoriser()
            matrix = of_words.fit_transform([prepared[row] for row in known])
            likeness = (of_words.transform([prepared[row] for row in held_out]) @ matrix.T).toarray()
            for row, of_row in zip(held_out, likeness, strict=True):
                if of_row.max() > 0:
                    stayed[part] += similarity(replies[known[of_row.argmax()]], replies[row])
    curve = {round(rows[part] / folds): stayed[part] / len(prepared) for part in PARTS}
    return tuple(curve.items())
