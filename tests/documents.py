"""The blocks of a Markdown page, as CONTRIBUTING.md defines them, and the script that a reader of it types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PUBLIC = "https://github.com/copier-ai-pilot/copier-ai-pilot"
SHELLS = {"bash"}
# Words after a fence that stand for commands elsewhere. Here they would hide commands from the test.
OTHER_SHELLS = {"", "console", "shell", "sh", "zsh", "shell-session"}
FENCE = re.compile(
    r"^```(?P<language>\S*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"<!-- (?P<mark>not run: \S.*|another terminal) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is, and the mark in the line before it."""

    language: str
    text: str
    title: str | None
    mark: str

    @property
    def runs(self) -> bool:
        """Whether it is of commands that the test runs."""
        return self.language in SHELLS and not self.mark.startswith("not run: ")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = []
    for fence in FENCE.finditer(page):
        before = MARK.search(page[: fence.start()])
        found.append(Block(fence["language"], fence["text"], fence["title"], before["mark"] if before else ""))
    return found


def anchors(file: Path) -> set[str]:
    """The places of a Markdown file that a link can lead to: its headings, as GitHub and GitLab name them."""
    prose = FENCE.sub("", file.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def hidden(page: str) -> list[str]:
    """Commands that the test would not see: of another kind of block, or indented."""
    others = [block.text for block in blocks(page) if block.language in OTHER_SHELLS]
    prose = re.sub(FENCE, "", page)
    return others + re.findall(r"\n\n((?: {4}|\t)\S.*)", prose)


def script(page: str, *, template: Path, port: int) -> str:
    """All that a reader of the page types and writes, for one shell that stops at the first failure."""
    parts = ["set -euo pipefail"]
    for block in blocks(page):
        if block.title:
            parts += [
                f"mkdir -p {Path(block.title).parent}",
                f"cat > {block.title} <<'END OF FILE'\n{block.text}END OF FILE",
            ]
        elif block.runs and block.mark == "another terminal":
            parts.append(_behind(block.text.strip(), port))
        elif block.runs:
            parts.append("\n".join(map(_one_by_one, block.text.rstrip().split("\n"))))
    text = "\n".join(parts) + "\n"
    return text.replace(f"{PUBLIC}.git", str(template)).replace("127.0.0.1:8000", f"127.0.0.1:{port}")


def _one_by_one(line: str) -> str:
    """The commands of a line, one by one: despite `set -e` a shell goes on where the first of `one && two` fails."""
    return line if "||" in line else line.replace(" && ", "\n")


def _behind(command: str, port: int) -> str:
    """Starts a command as a second terminal would, waits for its service, and ends it with the shell."""
    assert "\n" not in command, "another terminal runs one command"
    return (
        f"( exec {command} ) > service.log 2>&1 & service=$!\n"
        "trap 'kill $service; wait $service || true' EXIT\n"
        f"for try in $(seq 150); do\n"
        f"  curl --silent --fail http://127.0.0.1:{port}/readyz > /dev/null && break\n"
        "  kill -0 $service || { cat service.log; exit 1; }\n"
        "  sleep 0.2\n"
        "done\n"
        "rm service.log"
    )


def unsaid(page: str, said: str) -> list[str]:
    """The lines of the page's `text` blocks that the commands did not print."""
    promised = [line for block in blocks(page) if block.language == "text" for line in block.text.splitlines()]
    return [line for line in promised if line != "..." and line not in said]
