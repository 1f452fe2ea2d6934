"""Cost of one prediction: scikit-learn beside the same model as ONNX, in one run.

    python benchmarks/model.py FOLDER

FOLDER holds train.csv and test.csv with the columns text and category. Needs `ai-pilot-wrapper[train]`.
Prints microseconds an item for batches of 1 and 64 (median of five rounds, interleaved), the ratio of the two, and
the share of the test rows that both label right.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pilot.models.onnx import TextProbabilities, words
from pilot.models.training import fit

ROUNDS = 5
CALLS = 200
BATCHES = (1, 64)


def read(file: Path) -> tuple[list[str], list[str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def microseconds(predict: Callable[[Sequence[str]], object], texts: Sequence[str], batch: int) -> float:
    """Time for an item, over CALLS batches that walk through the texts."""
    starts = [call * batch % (len(texts) - batch) for call in range(CALLS)]
    begun = time.perf_counter()
    for start in starts:
        predict(texts[start : start + batch])
    return (time.perf_counter() - begun) / (CALLS * batch) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of one prediction: scikit-learn beside ONNX.")
    parser.add_argument("folder", type=Path, help="holds train.csv and test.csv with the columns text and category")
    folder = parser.parse_args().folder

    texts, labels = read(folder / "train.csv")
    names = sorted(set(labels))
    begun = time.perf_counter()
    pipeline, onnx = fit(texts, np.array([names.index(label) for label in labels]))
    print(f"trained and exported on {len(texts)} rows, {len(names)} labels in {time.perf_counter() - begun:.1f} s")

    ways: dict[str, Callable[[Sequence[str]], np.ndarray]] = {
        "scikit-learn": lambda batch: pipeline.predict_proba([words(text) for text in batch]),
        "ONNX": TextProbabilities(onnx),
    }
    tests, expected = read(folder / "test.csv")
    for name, predict in ways.items():
        right = [names[best] == label for best, label in zip(predict(tests).argmax(1), expected, strict=True)]
        print(f"{name:>12}: accuracy {np.mean(right):.4f} on {len(tests)} test rows")
    for batch in BATCHES:
        rounds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, predict in ways.items():
                rounds[name].append(microseconds(predict, tests, batch))
        slow, fast = (statistics.median(rounds[name]) for name in ways)
        print(f"batch of {batch:>2}: scikit-learn {slow:.0f} µs an item, ONNX {fast:.0f} µs, ratio {slow / fast:.1f}")


if __name__ == "__main__":
    main()
