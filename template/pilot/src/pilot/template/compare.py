"""What differs between the pilot and a render: as a list, and as a patch that `git apply` takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pilot.template.origin import git


def same(one: Path, other: Path) -> bool:
    """Whether two files are there and have the same bytes."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def patch(root: Path, render: Path, path: str) -> str:
    """What makes a file of the pilot in `root` that of the render; empty where they are the same.

    `git apply` makes it so, also where the file is missing on one side or the pilot is a folder of a larger repository.
    """
    above = git(root, "rev-parse", "--show-prefix", accept=(0, 128)).strip()
    with TemporaryDirectory(prefix="pilot-patch-") as folder:
        sides = []
        for side, source in (("a", root / path), ("b", render / path)):
            copy = Path(folder) / side / above / path
            if source.is_file():
                copy.parent.mkdir(parents=True)
                shutil.copy(source, copy)
            sides.append(f"{side}/{above}{path}" if source.is_file() else "/dev/null")
        if sides == ["/dev/null", "/dev/null"]:
            return ""
        words = ("diff", "--no-index", "--no-prefix", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
        return git(Path(folder), "-c", "core.quotepath=off", *words, "--", *sides, accept=(0, 1))
