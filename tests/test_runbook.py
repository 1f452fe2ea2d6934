"""The runbook: each page has its parts, and its commands do what it says, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT, run
from stack import Service, Stack, serving, wait_for

RUNBOOK = ROOT / "template" / "runbook"
PAGES = sorted(page for page in RUNBOOK.glob("*.md") if page.name != "README.md")
PARTS = ["Meaning", "User impact", "First look", "Mitigate", "Verify", "Roll back", "Escalate"]


def parts(page: str) -> dict[str, str]:
    """The text of each part, by its heading."""
    headed = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)[1:]
    return dict(zip(headed[::2], headed[1::2], strict=True))


def commands(page: str) -> dict[str, str]:
    """The command blocks of each part, as one script."""
    block = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = {name: "".join(block.findall(text)) for name, text in parts(page).items()}
    return {name: script for name, script in found.items() if script}


def lacks(page: str) -> list[str]:
    """What a page lacks of its seven parts, in their order, and which of its commands leave something to fill in."""
    filled = [name for name, text in parts(page).items() if text.strip()]
    lines = [line for script in commands(page).values() for line in script.splitlines()]
    blanks = [line for line in lines if re.search(r"<\w|\.\.\.", line)]
    return ([] if filled == PARTS else [name for name in PARTS if name not in filled] or ["order"]) + blanks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_has_its_parts_and_is_listed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert lacks(text) == []
    assert {"First look", "Mitigate", "Verify"} <= commands(text).keys()
    assert f"({page.name})" in (RUNBOOK / "README.md").read_text(encoding="utf-8")


def test_a_missing_part_and_a_blank_to_fill_in_are_seen() -> None:
    text = (RUNBOOK / "switch-off.md").read_text(encoding="utf-8")
    assert lacks(text.replace("## Roll back", "## Other")) == ["Roll back"]
    assert lacks(text.replace("pilot mode off", "pilot mode <mode>")) == ["uv run pilot mode <mode>"]


def follow(service: Service, page: str, part: str) -> str:
    """Runs the commands of a part as a person would, in one shell that stops at the first that fails."""
    script = commands((RUNBOOK / page).read_text(encoding="utf-8"))[part]
    if isinstance(service, Stack):
        script = script.replace("uv run pilot", "docker compose exec pilot pilot")
    return run("env", *service.environment, "bash", "-euo", "pipefail", "-c", script, cwd=service.folder)


def switch_off_and_on_again(service: Service) -> None:
    key = service.key()

    def mode() -> tuple[str, str | None]:
        status, answer = service.call("/v1/predictions", key, {"item": {"text": "Where is my parcel?"}})
        assert status in (200, 202)
        return answer["status"], answer["reason"]

    assert mode() == ("recorded", None)
    assert "shadow" in follow(service, "switch-off.md", "First look")
    follow(service, "switch-off.md", "Mitigate")
    wait_for(lambda: mode() == ("needs_human", "off"), 10)
    follow(service, "switch-off.md", "Verify")
    follow(service, "switch-off.md", "Roll back")
    wait_for(lambda: mode() == ("recorded", None), 10)
    with pytest.raises(AssertionError, match="ended with 1"):
        follow(service, "switch-off.md", "Verify")


def test_switch_off_stops_the_ai_of_a_running_service(pilot_folder: Path) -> None:
    with serving(pilot_folder) as (service, _):
        switch_off_and_on_again(service)


@pytest.mark.docker
def test_switch_off_stops_the_ai_under_compose(stack: Stack) -> None:
    switch_off_and_on_again(stack)


@pytest.mark.docker
def test_database_down_brings_the_service_back(stack: Stack) -> None:
    stack.compose("stop", "postgres")
    seen = follow(stack, "database-down.md", "First look")
    assert '"reason":"database"' in seen
    assert "Exited" in seen
    follow(stack, "database-down.md", "Mitigate")
    assert '"status":"ready"' in follow(stack, "database-down.md", "Verify")
    wait_for(lambda: stack.health() == "healthy", 60)
