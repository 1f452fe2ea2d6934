"""What differs between the pilot and a render: as a list, and as a patch that `git apply` takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pilot.workbench.template_tools.origin import git


def same(one: Path, other: Path) -> bool:
    """Whether two files are there and hold the same, line ends aside: a checkout may have written those otherwise."""
    return one.is_file() and other.is_file() and _unified(one) == _unified(other)


def patch(root: Path, render: Path, path: str) -> str:
    """What makes a file of the pilot in `root` that of the render; empty where they are the same.

    `git apply` makes it so, also where the file is missing on one side or the pilot is a folder of a larger repository.
    """
    above = git(root, "rev-parse", "--show-prefix", accept=(0, 128)).strip()
    with TemporaryDirectory(prefix="pilot-patch-") as folder:
        sides = []
        for side, source in (("a", root / path), ("b", render / path)):
            copy = Path(folder) / side / above / path
            there = source.is_file() or source.is_symlink()
            if there:
                copy.parent.mkdir(parents=True)
                shutil.copy(source, copy, follow_symlinks=False)
            sides.append(f"{side}/{above}{path}" if there else "/dev/null")
        if sides == ["/dev/null", "/dev/null"]:
            return ""
        words = ("diff", "--no-index", "--no-prefix", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
        return git(Path(folder), "-c", "core.quotepath=off", *words, "--", *sides, accept=(0, 1))


def _unified(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")
