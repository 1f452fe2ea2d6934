"""The runbook: each page has its parts, and its commands do what it says, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT, run
from pilot.operations import drill
from pilot.workbench.documents import runbook
from stack import Service, Stack, wait_for

TEMPLATE = ROOT / "template"
NAMES = runbook.names(TEMPLATE)


def faults(page: runbook.Page) -> list[str]:
    """Which of its seven parts, in their order, are missing, and which of its commands leave something to fill in."""
    filled = [name for name, text in page.parts.items() if text.strip()]
    lines = [line for part in runbook.PARTS for step in page.steps(part) for line in step.commands.splitlines()]
    blanks = [line for line in lines if re.search(r"<[a-zA-Z]|\.\.\.", line)]
    missing = [name for name in runbook.PARTS if name not in filled]
    return ([] if filled == list(runbook.PARTS) else missing or ["order"]) + blanks


@pytest.mark.parametrize("name", NAMES)
def test_each_page_has_its_parts_and_is_listed(name: str) -> None:
    page = runbook.read(TEMPLATE, name)
    assert faults(page) == []
    assert all(page.steps(part) for part in ("First look", "Mitigate", "Verify"))
    assert f"({name}.md)" in (TEMPLATE / "runbook" / "README.md").read_text(encoding="utf-8")
    assert page.header.fault is None or page.header.fault in drill.FAULTS


def test_a_missing_part_and_a_blank_to_fill_in_are_seen(tmp_path: Path) -> None:
    text = (TEMPLATE / "runbook" / "switch-off.md").read_text(encoding="utf-8")
    (tmp_path / "runbook").mkdir()
    for changed, found in (
        (text.replace("## Roll back", "## Other"), ["Roll back"]),
        (text.replace("pilot mode off", "pilot mode <mode>"), ["uv run pilot mode <mode>"]),
    ):
        (tmp_path / "runbook" / "switch-off.md").write_text(changed, encoding="utf-8")
        assert faults(runbook.read(tmp_path, "switch-off")) == found


def follow(service: Service, name: str, part: str) -> str:
    """Runs the commands of a part as a person would, in one shell that stops at the first that fails."""
    steps = runbook.read(TEMPLATE, name).steps(part)
    script = "\n".join(step.commands for step in steps)
    if isinstance(service, Stack):
        script = script.replace("uv run pilot", "docker compose exec pilot pilot")
    said = run("env", *service.environment, "bash", "-euo", "pipefail", "-c", script, cwd=service.folder)
    for step in steps:
        for line in step.expected:
            assert line in said, f"the page says {line!r}"
    return said


@pytest.mark.docker
def test_switch_off_stops_the_ai_under_compose(stack: Stack) -> None:
    key = stack.key()

    def mode() -> tuple[str, str | None]:
        status, answer = stack.call("/v1/predictions", key, {"item": {"text": "Where is my parcel?"}})
        assert status in (200, 202)
        return answer["status"], answer["reason"]

    assert mode() == ("recorded", None)
    assert "shadow" in follow(stack, "switch-off", "First look")
    follow(stack, "switch-off", "Mitigate")
    wait_for(lambda: mode() == ("needs_human", "off"), 10)
    follow(stack, "switch-off", "Verify")
    follow(stack, "switch-off", "Roll back")
    wait_for(lambda: mode() == ("recorded", None), 10)
    with pytest.raises(AssertionError, match="the page says 'off'"):
        follow(stack, "switch-off", "Verify")


@pytest.mark.docker
def test_database_down_brings_the_service_back(stack: Stack) -> None:
    stack.compose("stop", "postgres")
    # What the service saw of its database holds for a second.
    wait_for(lambda: stack.call("/readyz")[0] == 503, 30)
    seen = follow(stack, "database-down", "First look")
    assert '"reason":"database"' in seen
    assert "Exited" in seen
    follow(stack, "database-down", "Mitigate")
    assert '"status":"ready"' in follow(stack, "database-down", "Verify")
    wait_for(lambda: stack.health() == "healthy", 60)


@pytest.mark.docker
def test_service_down_brings_the_service_back(stack: Stack) -> None:
    stack.compose("kill", "pilot")
    assert "Exited" in follow(stack, "service-down", "First look")
    follow(stack, "service-down", "Mitigate")
    follow(stack, "service-down", "Verify")
    stack.compose("stop", "pilot")
    with pytest.raises(AssertionError, match="ended with"):
        run("bash", "-c", f"curl --silent --fail {stack.url}/readyz", cwd=stack.folder)
    follow(stack, "errors", "Mitigate")
    follow(stack, "errors", "Verify")
    assert "pilot_known_items_rows 12.0" in follow(stack, "known-items", "Verify")
    assert "known.csv" in follow(stack, "known-items", "First look")
