"""Values of rows, refused by name where they are none: a NaN that passes here makes a wrong figure later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pilot.evaluation.extra import library

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[Any] | Sequence[float]
    Flags = npt.NDArray[Any] | Sequence[bool]


def numbers(name: str, given: Numbers | Flags) -> npt.NDArray[Any]:
    """A flat array of floats. Raises ValueError naming `name` for NaN or None, and for another shape."""
    numpy = library("numpy")
    array = numpy.asarray(given, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} must be a flat list, not of shape {array.shape}")
    missing = numpy.isnan(array)
    if missing.any():
        raise ValueError(f"{name} holds NaN, first in row {int(missing.argmax())}")
    return array  # type: ignore[no-any-return]


def flags(name: str, given: Flags) -> npt.NDArray[Any]:
    """A flat array of 0.0 and 1.0. Raises ValueError naming `name` for anything that is neither true nor false."""
    array = numbers(name, given)
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{name} must be true or false in each row")
    return array


def labels(name: str, given: Iterable[Any]) -> list[str]:
    """The labels as text. Raises ValueError naming `name` for NaN or None."""
    found = list(given)
    for row, label in enumerate(found):
        if label is None or label != label:  # only NaN differs from itself
            raise ValueError(f"{name} holds {'None' if label is None else 'NaN'}, first in row {row}")
    return [str(label) for label in found]


def same_length(**columns: Sequence[Any] | npt.NDArray[Any]) -> None:
    """Raises ValueError where the named columns differ in length."""
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise ValueError(f"the columns must have the same length: {lengths}")
