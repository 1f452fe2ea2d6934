"""Training of the text classifier. The only module that needs the extra `train`."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilot.contract import PilotError
from pilot.models.onnx import TextProbabilities
from pilot.models.store import Artefact, Card, ModelStore, Score, Task, learned_hash
from pilot.models.text import STEPS, unspaced, words
from pilot.settings import Settings

# Chosen by cross-validation in three parts on Banking77 (10,003 texts, 77 labels): 0.885. Term counts and a C of 3 or
# 30 were no better. Log-scaled counts are as good, but skl2onnx 1.20 exports them with another formula. Pairs of words
# take five times as long, for 0.894 instead of 0.901 on the test set.
STRENGTH = 10.0

AGREEMENT = 0.995
FOLDS = 5
# Of the rows that a fold leaves to learn from, for the learning curve: training on Banking77 takes 13 s of processor
# time for 9 without the smaller parts.
PARTS = (0.25, 0.5, 1.0)
MAX_STEPS = 500


@dataclass(frozen=True)
class TrainingReport:
    """What a training made. The shares are in [0, 1]."""

    version: str
    labels: tuple[str, ...]
    rows: int
    accuracy: float | None
    agreement: float
    seconds: float
    folder: Path
    scores: tuple[Score, ...] = ()
    learned: str = ""

    def __str__(self) -> str:
        """`learned` is what the rows taught, such as the number of labels."""
        first = () if self.accuracy is None else (f"accuracy {self.accuracy:.1%}",)
        measured = ", ".join((*first, *map(str, self.scores)))
        return (
            f"Trained on {self.rows} rows with {self.learned or f'{len(self.labels)} labels'} in {self.seconds:.0f} s. "
            f"Cross-validated {measured}; the exported model agrees with scikit-learn on {self.agreement:.2%} of the "
            f"rows.\nVersion {self.version} is active in {self.folder}. Restart the service to use "
            "it; once a version was promoted, `pilot model promote` puts it in force."
        )


def train_text_classifier(
    items: Sequence[Any],
    labels: Sequence[str],
    settings: Settings,
    *,
    text: Callable[[Any], str],
    progress: Callable[[str], None] | None = None,
) -> TrainingReport:
    """Learns labels from the items' texts, checks the exported model, keeps it and puts it in force.

    TF-IDF of single words and a multinomial logistic regression, exported to ONNX. The same rows in the same order
    give the same version on the same machine and libraries; another processor may round differently.
    `items` and `labels` have the same length, with two rows or more of each of two labels or more.

    Raises PilotError when the data do not allow it, when the extra `train` is not installed, or when ONNX and
    scikit-learn agree on less than 99.5 % of the rows. Then nothing is kept.
    """
    begun = time.perf_counter()
    say = progress or (lambda line: None)
    _check(items, labels)
    texts = [text(item) for item in items]
    names = tuple(sorted(set(labels)))
    targets = np.array([names.index(label) for label in labels])

    for line in limits(texts):
        say(line)
    say(f"Cross-validating on {len(texts)} rows with {len(names)} labels.")
    folds = min(FOLDS, max(Counter(labels).values()))
    curve = _cross_validate(texts, targets, folds)
    accuracy = curve[-1][1]
    say(f"Accuracy {accuracy:.3f} on rows that the model did not see. Training on all rows.")
    pipeline, onnx = fit(texts, targets)

    say("Comparing the exported model with scikit-learn on every row.")
    expected = pipeline.predict([words(text) for text in texts])
    agreement = float(np.mean(_labels_of(onnx, texts) == expected))
    return keep(
        settings,
        say,
        begun=begun,
        texts=texts,
        finals=list(labels),
        onnx=onnx,
        labels=names,
        agreement=agreement,
        accuracy=accuracy,
        folds=folds,
        curve=curve,
    )


def keep(
    settings: Settings,
    say: Callable[[str], None],
    *,
    begun: float,
    texts: Sequence[str],
    finals: Sequence[Any],
    onnx: bytes,
    agreement: float,
    folds: int,
    task: Task = "classify",
    steps: str = STEPS,
    beside: bytes = b"",
    labels: tuple[str, ...] = (),
    accuracy: float | None = None,
    curve: tuple[tuple[int, float], ...] = (),
    scores: tuple[Score, ...] = (),
    learned: str = "",
) -> TrainingReport:
    """Keeps a trained model and puts it in force. `finals` are what the rows taught, as JSON holds it; `begun` is by
    `time.perf_counter`.

    Raises PilotError when ONNX and scikit-learn agree on less than 99.5 % of the rows. Then nothing is kept.
    """
    if agreement < AGREEMENT:
        raise PilotError(
            f"The exported model answers as scikit-learn does on {agreement:.2%} of the rows, which is below "
            f"{AGREEMENT:.1%}. Nothing was kept. Run `uv sync` to get the versions that were tested together."
        )
    key = secrets.token_hex(16)
    known = sorted({learned_hash(words(text), key) for text in texts})
    card = Card(
        task=task,
        labels=labels,
        steps=steps,
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
        beside_sha256=hashlib.sha256(beside).hexdigest() if beside else "",
        data_sha256=hashlib.sha256(json.dumps([texts, finals]).encode()).hexdigest(),
        rows=len(texts),
        agreement=agreement,
        accuracy=accuracy,
        scores=scores,
        folds=folds,
        learning_curve=curve,
        learned_key=key,
        learned=base64.b64encode(b"".join(known)).decode(),
        created=datetime.now(UTC).date().isoformat(),
        libraries={name: library_version(name) for name in ("numpy", "onnxruntime", "scikit-learn", "skl2onnx")},
    )
    store = ModelStore(settings.models)
    version = store.save(Artefact(card, onnx, beside))
    store.activate(version)
    say(f"Model {version} is in force, in {store.folder}.")
    seconds = time.perf_counter() - begun
    return TrainingReport(version, labels, len(texts), accuracy, agreement, seconds, store.folder, scores, learned)


def _check(items: Sequence[Any], labels: Sequence[str]) -> None:
    if len(items) != len(labels):
        raise PilotError(f"There are {len(items)} items but {len(labels)} labels. Give one label for each item.")
    if not items:
        raise PilotError("There are no rows to learn from. Give a file with at least two rows of each label.")
    counts = Counter(labels)
    if any(not label.strip() for label in counts):
        raise PilotError("Some rows have an empty label. Fill it in, or leave those rows out.")
    if len(counts) < 2:
        raise PilotError(f"All rows have the label {labels[0]!r}. A model needs two labels or more to tell apart.")
    if rare := sorted(label for label, count in counts.items() if count < 2):
        shown = ", ".join(map(repr, rare[:10])) + (f" and {len(rare) - 10} more" if len(rare) > 10 else "")
        raise PilotError(f"These labels have a single row: {shown}. Add rows, or leave them out.")


def limits(texts: Sequence[str]) -> Iterator[str]:
    """What the model cannot read, or reads less well."""
    without, pairs = sum(not words(text) for text in texts), sum(map(unspaced, texts))
    if without:
        yield f"{without} texts hold no word, such as those of signs or pictures alone: they all look the same to it."
    if pairs:
        yield (
            f"{pairs} texts are in a script without spaces between words, such as Chinese, Japanese or Thai: it reads "
            "pairs of characters there, and no dictionary."
        )


def vectoriser() -> Any:
    """TF-IDF of the words that `words` prepared, each counted once in a text, in a way that ONNX does alike.

    Raises PilotError when the extra `train` is not installed.
    """
    try:
        import skl2onnx  # type: ignore[import-untyped]  # noqa: F401
        from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
    except ImportError:
        raise PilotError(
            "scikit-learn or skl2onnx is not installed. Training needs `ai-pilot-wrapper[train]`: run `uv sync` with "
            "the dev group."
        ) from None
    # The texts come as words joined by spaces, so that the ONNX tokeniser can do the same. A word counts once.
    return TfidfVectorizer(lowercase=False, token_pattern=r"[^ ]+", binary=True)  # noqa: S106


def exported(model: Any, of_words: Any, classifier: Any = None) -> bytes:
    """A fitted model, in which `of_words` is the vectoriser, as ONNX; of a `classifier` in it, its probabilities."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType  # type: ignore[import-untyped]

    # Without a locale the tokeniser asks the system for en_US, which a slim image does not have.
    options: dict[int, dict[str, Any]] = {id(of_words): {"tokenexp": "[^ ]+", "locale": "C"}}
    if classifier is not None:
        options[id(classifier)] = {"zipmap": False}
    made = to_onnx(
        model,
        initial_types=[("text", StringTensorType([None, 1]))],
        options=options,
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    content: bytes = made.SerializeToString()
    return content


def _pipeline() -> Any:
    of_words = vectoriser()
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    return make_pipeline(of_words, LogisticRegression(C=STRENGTH, max_iter=MAX_STEPS))


def _cross_validate(texts: Sequence[str], targets: npt.NDArray[np.int64], folds: int) -> tuple[tuple[int, float], ...]:
    """The learning curve: rows learned from, and the share of all rows that a model got right which was trained on a
    part of the other folds. The last pair is of the whole of them."""
    pipeline = _pipeline()
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    prepared = np.array([words(text) for text in texts], dtype=object)
    with warnings.catch_warnings():
        # A label with fewer rows than folds is missing from some of them, which is no harm here.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(prepared, targets))
    rows, right = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    for others, held_out in splits:
        for part in list(rows):
            learned = _part_of_each_label(others, targets, part)
            if not taught(pipeline, prepared[learned], targets[learned], part):
                del rows[part]
                continue
            rows[part] += len(learned)
            right[part] += int(np.sum(pipeline.predict(prepared[held_out]) == targets[held_out]))
    # So few rows that two parts are the same rows make one pair.
    curve = {round(rows[part] / folds): right[part] / len(texts) for part in rows}
    return tuple(curve.items())


def taught(pipeline: Any, texts: npt.NDArray[np.object_], targets: npt.NDArray[Any], part: float) -> bool:
    """Fits the pipeline to a part of the rows. False where that part holds no word, which the whole may hold.

    Raises PilotError where the whole holds none.
    """
    try:
        pipeline.fit(texts, targets)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        if part == PARTS[-1]:
            raise PilotError("The texts hold no words to learn from. Look at the column that they come from.") from None
        return False
    return True


def _part_of_each_label(
    rows: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], part: float
) -> npt.NDArray[np.int64]:
    """A part of the rows of each label, but one row at least; a larger part has all rows of a smaller one."""
    shuffled = np.random.default_rng(0).permutation(rows)
    by_label = [shuffled[targets[shuffled] == label] for label in np.unique(targets[rows])]
    return np.sort(np.concatenate([found[: max(1, round(part * len(found)))] for found in by_label]))


def fit(texts: Sequence[str], targets: npt.NDArray[np.int64]) -> tuple[Any, bytes]:
    """The pipeline, trained to give numbers for texts that `words` prepared, and the same as ONNX."""
    pipeline = _pipeline()
    pipeline.fit([words(text) for text in texts], targets)
    return pipeline, exported(pipeline, pipeline[0], pipeline[-1])


def _labels_of(onnx: bytes, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """The labels (as numbers) that the exported model predicts, through the code that serves it."""
    probabilities = TextProbabilities(onnx)
    return np.concatenate([probabilities(texts[at : at + 256]).argmax(1) for at in range(0, len(texts), 256)])
