"""`pilot model train`: labelled rows of a file, checked against the schema, to the team's training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pilot.contract import Item, PilotError, Prediction, Team, only_field
from pilot.records.rows import Chosen, cells_for, check_columns, named_columns, read_rows, words_of
from pilot.settings import Settings


def read_examples(
    team: Team, file: Path, inputs: Chosen, finals: Chosen
) -> tuple[list[tuple[Item, Prediction]], list[str]]:
    """The rows of a file as items with their right predictions, and what is wrong with the rows that are none.

    Raises PilotError when the file cannot be read or has no such column.
    """
    check_columns(file, [*named_columns(inputs), *named_columns(finals)])
    examples, refused = [], []
    for row in read_rows(file):
        try:
            if row.problem is None:
                examples.append((cells_for(team.item, row, inputs), cells_for(team.prediction, row, finals)))
        except ValidationError as error:
            refused.append(f"{file.name}, line {row.line}: {words_of(error)}")
        else:
            if row.problem is not None:
                refused.append(f"{file.name}, line {row.line}: {row.problem}")
    return examples, refused


def train(
    team: Team,
    settings: Settings,
    file: Path,
    inputs: Chosen,
    finals: Chosen,
    note: Callable[[str], Any],
) -> str:
    """Trains on a file and returns the report as text.

    Raises PilotError when the approach trains nothing, or the rows are not fit for training.
    """
    if team.train is None:
        raise PilotError("This pilot's approach trains no model: no entry point `train` is named in pyproject.toml.")
    examples, refused = read_examples(team, file, inputs, finals)
    for line in refused[:20]:
        note(line)
    if refused:
        note(f"{len(refused)} rows were left out")
    return str(team.train([item for item, _ in examples], lessons(team, [final for _, final in examples]), settings))


def lessons(team: Team, finals: Sequence[Prediction]) -> list[Any]:
    """What the team's training learns from: the predictions, where its second parameter is called `finals`; else their
    labels.

    Raises PilotError where labels are asked for, and the Prediction is more than one.
    """
    if team.train is not None and "finals" in list(inspect.signature(team.train).parameters)[1:2]:
        return list(finals)
    name = only_field(team.prediction)
    return [str(getattr(final, name)) for final in finals]
