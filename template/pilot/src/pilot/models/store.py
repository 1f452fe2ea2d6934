"""The model store: a folder for each version, and a file `active` that names the one in force.

A version is the hash of everything that decides its answers, so a changed byte anywhere is seen when it is loaded.
Nothing here is a pickle: loading runs no code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pilot.contract import Answer, LocalModel, ModelUnavailable, PilotError, Team
from pilot.settings import Settings

FIX = "Run `pilot model train` to make a new one."

_VERSION = re.compile(r"[0-9a-f]{16}")
_HASH = 8
# Items that are given to a model at once.
_BATCH = 256


Task = Literal["classify", "extract", "draft", "score"]


class Score(BaseModel):
    """What cross-validation measured: each row judged by a model that never saw it. `curve` is the learning curve: rows
    learned from and value. Shares and similarities are in [0, 1], an error is in the unit of the number."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    value: float
    better: Literal["more", "less"] = "more"
    curve: tuple[tuple[int, float], ...] = ()

    def __str__(self) -> str:
        shown = f"{self.value:.1%}" if self.better == "more" else f"{self.value:.3g}"
        return f"{self.name} {shown}"


class Card(BaseModel):
    """What is known about a model, kept beside it as model.json."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    task: Task = Field("classify", description="What the model does with a text.")
    labels: tuple[str, ...] = Field(
        (), description="In the order of the model's probabilities: labels, or the tags of tokens; else empty."
    )
    steps: str = Field(description="The steps from a text to its words.")
    onnx_sha256: str
    beside_sha256: str = Field(
        "", description="Of model.data, what decides beside the ONNX model; empty: no such file."
    )
    data_sha256: str = Field(description="Of the texts and labels that it learned from, in their order.")
    rows: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1, description="Share of the rows that ONNX and scikit-learn answer alike.")
    accuracy: float | None = Field(
        None, ge=0, le=1, description="Cross-validated share of rows with everything right, where answers can be right."
    )
    scores: tuple[Score, ...] = Field((), description="What else was measured by cross-validation.")
    folds: int = Field(ge=2, description="Parts of the cross-validation.")
    learning_curve: tuple[tuple[int, float], ...] = Field(
        (), description="Rows learned from and accuracy, cross-validated; empty where it was not measured."
    )
    learned_key: str = Field("", description="The key of the hashes in `learned`, in hex.")
    learned: str = Field(
        "",
        description="Hashes of the words of each text that it learned from, 8 bytes each in base64; empty: not kept.",
    )
    created: str = Field(description="Date, UTC.")
    libraries: dict[str, str] = Field(description="Versions of the libraries that made it.")

    @property
    def version(self) -> str:
        """16 hex digits: the hash of what decides the answers. Date, scores and libraries do not."""
        decisive: list[Any] = [self.labels, self.steps, self.onnx_sha256, self.data_sha256]
        if self.task != "classify" or self.beside_sha256:  # versions of before keep theirs
            decisive += [self.task, self.beside_sha256]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    @property
    def score(self) -> Score:
        """What tells the most about the model, with its learning curve, whatever its task is."""
        if self.accuracy is None:
            return self.scores[0]
        return Score(name="accuracy", value=self.accuracy, curve=self.learning_curve)

    @model_validator(mode="after")
    def _of_its_task(self) -> Self:
        if self.task in ("classify", "extract") and (len(self.labels) < 2 or self.accuracy is None):
            raise ValueError(f"a model for {self.task} has two labels or more, and an accuracy")
        if self.accuracy is None and not self.scores:
            raise ValueError("nothing was measured")
        return self

    @cached_property
    def learned_hashes(self) -> frozenset[bytes]:
        """What `learned_hash` gives for the texts that it learned from; empty where that was not kept."""
        kept = base64.b64decode(self.learned)
        return frozenset(kept[start : start + _HASH] for start in range(0, len(kept), _HASH))


def learned_hash(words: str, key: str) -> bytes:
    """The keyed hash by which a card knows the words of a text again, without keeping them."""
    return hashlib.blake2b(words.encode(), key=bytes.fromhex(key), digest_size=_HASH).digest()


@dataclass(frozen=True)
class Artefact:
    """A model as it was read: its card, and the very bytes whose hashes were checked. `beside` is JSON: what decides
    beside the ONNX model."""

    card: Card
    onnx: bytes
    beside: bytes = b""


class ModelStore:
    """The models under one folder, which need not exist before the first `save`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, artefact: Artefact) -> str:
        """Keeps a model and returns its version. A broken copy of the same version is replaced."""
        version = artefact.card.version
        place = self.folder / version
        if place.is_symlink():
            place.unlink()
        place.mkdir(parents=True, exist_ok=True)
        _write(place / "model.onnx", artefact.onnx)
        if artefact.beside:
            _write(place / "model.data", artefact.beside)
        _write(place / "model.json", (artefact.card.model_dump_json(indent=2) + "\n").encode())
        return version

    def activate(self, version: str) -> None:
        """Puts a version in force, at once or not at all.

        Raises ModelUnavailable when that version cannot be loaded; then the one in force stays.
        """
        self.load(version)
        _write(self.folder / "active", f"{version}\n".encode())

    def active(self) -> str | None:
        """The version in force, or None where none was ever activated.

        Raises ModelUnavailable when `active` does not hold a version.
        """
        if not os.path.lexists(self.folder / "active"):
            return None
        text = self._read("active").decode("utf-8", "replace").strip()
        if not _VERSION.fullmatch(text):
            raise ModelUnavailable(f"{self.folder / 'active'} does not name a model's version. {FIX}")
        return text

    def versions(self) -> list[str]:
        """The versions that the store holds, the newest first."""
        cards = sorted(self.folder.glob("*/model.json"), key=lambda card: card.stat().st_mtime, reverse=True)
        return [card.parent.name for card in cards if _VERSION.fullmatch(card.parent.name)]

    def load(self, version: str) -> Artefact:
        """Reads a version and checks it.

        Raises ModelUnavailable when a file is missing, unreadable, changed, or outside the store.
        """
        place = self.folder / version
        onnx = self._read(f"{version}/model.onnx")
        try:
            card = Card.model_validate_json(self._read(f"{version}/model.json"))
        except ValidationError as error:
            raise ModelUnavailable(
                f"{place / 'model.json'} does not describe a model ({error.error_count()} faults). {FIX}"
            ) from None
        if hashlib.sha256(onnx).hexdigest() != card.onnx_sha256:
            raise ModelUnavailable(f"{place / 'model.onnx'} is not the file that was trained: its hash differs. {FIX}")
        beside = self._read(f"{version}/model.data") if card.beside_sha256 else b""
        if card.beside_sha256 and hashlib.sha256(beside).hexdigest() != card.beside_sha256:
            raise ModelUnavailable(f"{place / 'model.data'} is not the file that was trained: its hash differs. {FIX}")
        if card.version != version:
            raise ModelUnavailable(f"{place / 'model.json'} was changed: it describes version {card.version}. {FIX}")
        return Artefact(card, onnx, beside)

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        try:
            if not path.resolve(strict=True).is_relative_to(self.folder.resolve()):
                raise ModelUnavailable(f"{path} is a link to outside of the model store. Remove it. {FIX}")
            return path.read_bytes()
        except (OSError, RuntimeError) as error:
            raise ModelUnavailable(f"{path} cannot be read ({type(error).__name__}). {FIX}") from None


def stores(settings: Settings) -> tuple[ModelStore, ModelStore]:
    """The pilot's own store and the built-in one."""
    return ModelStore(settings.models), ModelStore(settings.default_models)


def load_active(settings: Settings, task: Task | None = None) -> Artefact:
    """The model in force: of the pilot's own store, or of the built-in one where that has none.

    Raises ModelUnavailable when there is none, when it is not as it was saved, or when it is for another `task`.
    """
    for store in stores(settings):
        if (version := store.active()) is not None:
            artefact = store.load(version)
            if task is not None and artefact.card.task != task:
                raise ModelUnavailable(
                    f"Model {version} in {store.folder} was trained for the task {artefact.card.task}, and this "
                    f"pilot's model.py asks for one that can {task}. {FIX}"
                )
            return artefact
    raise ModelUnavailable(f"There is no model in {settings.models} or {settings.default_models}. {FIX}")


def store_of(settings: Settings, version: str) -> ModelStore | None:
    """The pilot's own store or the built-in one, whichever holds the version; None where neither does."""
    return next((store for store in stores(settings) if version in store.versions()), None)


@contextmanager
def at_version(settings: Settings, version: str) -> Iterator[Settings]:
    """Settings by which the team's code loads this version, of the pilot's own store or of the built-in one.

    Raises ModelUnavailable when neither holds it, or when it is not as it was saved.
    """
    kept = store_of(settings, version)
    if kept is None:
        raise ModelUnavailable(f"Neither {settings.models} nor {settings.default_models} holds version {version}.")
    artefact = kept.load(version)
    with TemporaryDirectory(prefix="pilot-model-") as scratch:
        store = ModelStore(Path(scratch))
        store.save(artefact)
        store.activate(version)
        yield settings.model_copy(update={"models": store.folder})


def check_loads(team: Team, settings: Settings, version: str) -> str:
    """The version that its answers will name. Raises PilotError where the team's code cannot load this version, so that
    it must not be put in force."""
    with at_version(settings, version) as chosen:
        return team.model(chosen).version


def _write(path: Path, content: bytes) -> None:
    """Replaces a file at once or not at all, also when the power fails."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replayed(team: Team, settings: Settings, version: str, items: Sequence[Any]) -> list[Answer]:
    """What the version answers to the items, in their order. Nothing is recorded, and the active version stays.

    Raises PilotError when no store holds it or it cannot be loaded, or when the team's model is behind an API.
    """
    with at_version(settings, version) as chosen:
        model = team.model(chosen)
        if not isinstance(model, LocalModel):
            raise PilotError("The model is behind an API, and an answer of the past cannot be asked for again.")
        batches = [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
        return [answer for batch in batches for answer in model.predict(batch)]
