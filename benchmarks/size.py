"""How much a team gets: files and lines of a default render, and of the wrapper by room.

python benchmarks/size.py
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from copier import run_copy

ROOT = Path(__file__).resolve().parent.parent


def lines(file: Path) -> int:
    """The lines of a file, as `wc -l` counts them."""
    return file.read_bytes().count(b"\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pilot = Path(scratch) / "pilot"
        run_copy(str(ROOT), pilot, defaults=True, quiet=True, vcs_ref="HEAD")
        subprocess.run(["git", "init", "--quiet"], cwd=pilot, check=True)
        subprocess.run(["git", "add", "--all"], cwd=pilot, check=True)
        listed = subprocess.run(["git", "ls-files"], cwd=pilot, check=True, capture_output=True, text=True).stdout
        files = [pilot / name for name in listed.splitlines()]
        print(f"default render                {len(files):>6} files   {sum(map(lines, files)):>7,} lines")
        wrapper = pilot / "pilot" / "src" / "pilot"
        modules = [file for file in files if file.suffix == ".py" and file.is_relative_to(wrapper)]
        print(f"wrapper, Python               {len(modules):>6} modules {sum(map(lines, modules)):>7,} lines")
        rooms: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        for module in modules:
            inside = module.relative_to(wrapper).parts
            room = "/".join(inside[:-1]) or "(top)"
            rooms[room] += lines(module)
            counted[room] += 1
        for room in sorted(rooms):
            print(f"  {room:<28}{counted[room]:>6} modules {rooms[room]:>7,} lines")
        others = [file for file in files if file.is_relative_to(pilot / "pilot") and file not in modules]
        rest = len(files) - len(modules) - len(others)
        print(f"wrapper, templates and others {len(others):>6} files   {sum(map(lines, others)):>7,} lines")
        print(f"the team's and the workflows  {rest:>6} files")


if __name__ == "__main__":
    main()
