"""What the statistics take in: columns of numbers, of yes and no, and of groups, checked before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pilot.workbench.stats.extra import library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Numbers = Sequence[float] | Sequence[int] | Sequence[bool] | NDArray[Any]
    Groups = Sequence[object] | NDArray[Any]


def finite(name: str, values: Numbers) -> Floats:
    """The column as numbers. Raises ValueError that names the column and its first row that is no finite number."""
    numpy = library("numpy")
    try:
        column = numpy.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a column of numbers, one for each item") from None
    if column.ndim != 1:
        raise ValueError(f"{name} must be one column, and has {column.ndim} dimensions")
    wrong = numpy.flatnonzero(~numpy.isfinite(column))
    if wrong.size:
        raise ValueError(
            f"{name}: row {wrong[0]} is {column[wrong[0]]}, and {wrong.size} in all are no finite numbers; "
            "leave out the items without a value, and say how many they are"
        )
    found: Floats = column
    return found


def flags(name: str, values: Numbers) -> Integers:
    """The column as 1 for yes and 0 for no. Raises ValueError for anything else."""
    numpy = library("numpy")
    column = finite(name, values)
    wrong = numpy.flatnonzero((column != 0) & (column != 1))
    if wrong.size:
        raise ValueError(f"{name}: row {wrong[0]} is {column[wrong[0]]}, and must be true or false")
    found: Integers = column.astype(numpy.int64)
    return found


def labels(name: str, given: Iterable[Any]) -> list[str]:
    """The labels as text. Raises ValueError that names the column and the first row that holds none."""
    found = list(given)
    for row, label in enumerate(found):
        if label is None or label != label:  # only NaN differs from itself
            raise ValueError(f"{name}: row {row} is {'None' if label is None else 'nan'}, and must be a label")
    return [str(label) for label in found]


def same_length(**columns: Sequence[Any] | NDArray[Any]) -> None:
    """Raises ValueError where the named columns differ in length."""
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise ValueError(f"the columns must have the same length: {lengths}")


def paired(name: str, values: Numbers, other: str, others: Numbers) -> tuple[Floats, Floats]:
    """Two columns of the same items. Raises ValueError where their lengths differ."""
    first, second = finite(name, values), finite(other, others)
    if len(first) != len(second):
        raise ValueError(f"{name} has {len(first)} rows and {other} {len(second)}: they must be of the same items")
    return first, second


def numbered(groups: Groups, rows: int) -> Integers:
    """A number from 0 on for the group of each row; a row whose group is None is a group of its own.

    Raises ValueError where a group is NaN, or where there are not as many groups as rows.
    """
    numpy = library("numpy")
    known: dict[object, int] = {}
    codes = []
    listed: Iterable[object] = groups.tolist() if isinstance(groups, numpy.ndarray) else groups
    for row, group in enumerate(listed):
        if group is None:
            codes.append(known.setdefault(("no group", row), len(known)))
            continue
        if group != group:
            raise ValueError(f"groups: row {row} is nan; use None for an item without a group")
        codes.append(known.setdefault(("group", group), len(known)))
    if len(codes) != rows:
        raise ValueError(f"groups has {len(codes)} rows, and there are {rows} items")
    found: Integers = numpy.asarray(codes, dtype=numpy.int64)
    return found


def orientation(values: Floats, mirrored: Floats) -> int:
    """1 where `values` come before `mirrored`, its mirror image in the same order, -1 where after, 0 where both are the
    same. Whatever resamples one of the two only, and mirrors the rest, treats the two arms of a comparison alike."""
    numpy = library("numpy")
    differing = numpy.flatnonzero(values != mirrored)
    if not differing.size:
        return 0
    return 1 if values[differing[0]] > mirrored[differing[0]] else -1
