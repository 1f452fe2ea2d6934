"""How long the commands of a page take: from nothing to the first answer, and a first update.

    uv run --no-sync python benchmarks/newcomer.py

Follows the tutorial and the page on updates, each in an empty folder and as tests/test_docs.py does, with the last
commit as the template, and says how many seconds had passed after each block. With `UV_CACHE_DIR=$(mktemp -d)` before
it, uv fetches everything again.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from documents import FENCE, blocks, script  # noqa: E402 - as the tests follow a page
from helpers import commit, git, run  # noqa: E402
from stack import SHELL, free_port  # noqa: E402

AUTHOR = tuple(f"GIT_{who}_{what}=me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL"))


def timed(page: str) -> str:
    """The page with a block behind each block that runs, which says when that one had ended."""

    def more(block: re.Match[str]) -> str:
        (found,) = blocks(block[0])
        first = shlex.quote(f" s  {found.text.splitlines()[0][:60]}")
        clock = f'\n\n```bash\necho; echo "@ $(( $(date +%s) - BEGUN ))"{first}\n```\n'
        return block[0] + (clock if found.runs else "")

    return FENCE.sub(more, page)


def follow(page: str, folder: Path, template: Path) -> None:
    """Follows a page in a folder, and prints when each block of it had ended."""
    text, port = timed((ROOT / "docs" / page).read_text(encoding="utf-8")), free_port()
    shell = f"exec 2>&1; export PILOT_PORT={port}; BEGUN=$(date +%s)\n{script(text, template=template, port=port)}"
    print(page)
    said = run("env", *SHELL, *AUTHOR, "bash", "-c", shell, cwd=folder, timeout=1800)
    print("\n".join(re.findall(r"^@ (.*)$", said, re.MULTILINE)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        template = Path(scratch, "template")
        git("clone", "--quiet", ROOT, template, cwd=ROOT)
        git("tag", "--force", "v0.1.0", cwd=template)
        follow("tutorial.md", Path(scratch), template)
        page = template / "template/runbook/README.md"
        page.write_text(page.read_text(encoding="utf-8") + "\nNew in the next release.\n", encoding="utf-8")
        commit(template, "Release", tag="v0.2.0")
        follow("how-to/update.md", Path(scratch, "my-pilot"), template)
