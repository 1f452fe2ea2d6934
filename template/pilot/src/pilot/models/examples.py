"""`pilot model train`: labelled rows of a file, checked against the schema, to the team's training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pilot.contract import Item, PilotError, Prediction, Team, only_field
from pilot.records.rows import cells_for, check_columns, read_rows, words_of
from pilot.settings import Settings


def read_examples(
    team: Team, file: Path, input_column: str | None, label_column: str | None
) -> tuple[list[tuple[Item, Prediction]], list[str]]:
    """The rows of a file as items with their right predictions, and what is wrong with the rows that are none.

    Raises PilotError when the file cannot be read or has no such column.
    """
    check_columns(file, [name for name in (input_column, label_column) if name is not None])
    examples, refused = [], []
    for row in read_rows(file):
        try:
            if row.problem is None:
                examples.append(
                    (cells_for(team.item, row, input_column), cells_for(team.prediction, row, label_column))
                )
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
    input_column: str | None,
    label_column: str | None,
    note: Callable[[str], Any],
) -> str:
    """Trains on a file and returns the report as text.

    Raises PilotError when the approach trains nothing, or the rows are not fit for training.
    """
    if team.train is None:
        raise PilotError("This pilot's approach trains no model: no entry point `train` is named in pyproject.toml.")
    examples, refused = read_examples(team, file, input_column, label_column)
    for line in refused[:20]:
        note(line)
    if refused:
        note(f"{len(refused)} rows were left out")
    name = only_field(team.prediction)
    items, labels = [item for item, _ in examples], [str(getattr(final, name)) for _, final in examples]
    return str(team.train(items, labels, settings))
