"""The alerts: their rules are tested, lead to pages that exist, and name metrics that the service has."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import FULL, ROOT, run
from stack import free_port, serving, wait_for

OPS = ROOT / "template" / "ops"
RULES = OPS / "prometheus" / "rules" / "pilot.yml"
TESTS = sorted((ROOT / "tests" / "alerts").glob("*_test.yml"))
RUNBOOK = ROOT / "template" / "runbook"
# Prometheus makes these itself.
ITS_OWN = {"up", "ALERTS"}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def front_matter(page: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(page.read_text(encoding="utf-8").split("---\n")[1]))


def rule_tests(folder: Path, rules: str) -> None:
    """Runs the tests of the rules on these."""
    (folder / "pilot.yml").write_text(rules, encoding="utf-8")
    for file in TESTS:
        shutil.copy(file, folder)
    run("promtool", "check", "rules", "pilot.yml", cwd=folder)
    run("promtool", "test", "rules", *(file.name for file in TESTS), cwd=folder)


def test_each_alert_fires_when_it_must_and_is_silent_when_it_must(tmp_path: Path) -> None:
    rule_tests(tmp_path, RULES.read_text(encoding="utf-8"))
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    firing = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert firing == set(alerts())
    assert silent == set(alerts()) - {"Watchdog"}


CHANGES = [
    ("2.5", "0.5"),
    ("pilot_known_items_total", "pilot_known_item_total"),
    (">", "<"),
    ("[5m]))", "[5d]))"),
    ("[28d])) > 2.5", "[28d])) > 1.5"),
    ("severity: page", "severity: ticket"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES if FULL else CHANGES[:1])
def test_a_changed_rule_turns_the_tests_red(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="FAILED"):
        rule_tests(tmp_path, RULES.read_text(encoding="utf-8").replace(old, new))


def test_alerts_and_pages_lead_to_each_other() -> None:
    pages = {page.name: front_matter(page) for page in RUNBOOK.glob("*.md") if page.name != "README.md"}
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket", "watchdog", "none")
        page = ROOT / "template" / rule["annotations"]["runbook_url"]
        assert page.is_file()
        if page.name == "README.md":
            assert f"`{name}`" in page.read_text(encoding="utf-8")
        else:
            assert name in pages[page.name]["alert"]
    assert {name for page in pages.values() for name in page["alert"]} <= set(alerts())


def named() -> dict[str, set[str]]:
    """The metrics that rules, the dashboard and the runbook name, by file."""
    files = [RULES, OPS / "grafana/dashboards/pilot.json", *RUNBOOK.glob("*.md")]
    found = {file.name: set(re.findall(r"\bpilot_[a-z0-9_]+\b", file.read_text(encoding="utf-8"))) for file in files}
    return {name: metrics for name, metrics in found.items() if metrics}


def missing(scraped: str) -> set[str]:
    """What is named somewhere and was not scraped."""
    there = set(re.findall(r"^(pilot_[a-z0-9_]+)(?:[{ ])", scraped, re.MULTILINE))
    families = set(re.findall(r"^# TYPE (pilot_[a-z0-9_]+) ", scraped, re.MULTILINE))
    return {metric for metrics in named().values() for metric in metrics} - there - families


def test_each_metric_that_is_named_exists_and_a_renamed_one_is_seen(
    pilot_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("PILOT_METRICS_PORT", str(port))
    monkeypatch.setenv("PILOT_KNOWN_INTERVAL", "1")

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            return str(response.read().decode())

    with serving(pilot_folder) as (service, _):
        key = service.key()
        assert service.call("/v1/predictions", key, {"item": {"text": "Where is my parcel?"}})[0] in (200, 202)
        wait_for(lambda: "pilot_database_up 1.0" in scraped(), 30)
        # Without a model, which nobody trained here, known items fail, and that is counted as such.
        wait_for(lambda: bool(re.search(r'pilot_known_items_total\{result="failed"\} [1-9]', scraped())), 30)
        seen = scraped()
    assert missing(seen) == set()
    assert missing(seen.replace("pilot_known_items", "pilot_known_things")) >= {"pilot_known_items_total"}
    assert set(named()) >= {"pilot.yml", "pilot.json", "known-items.md"}


def test_the_dashboard_is_one() -> None:
    board = json.loads((OPS / "grafana/dashboards/pilot.json").read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) > 8
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "prometheus"
        assert all(target["expr"] for target in panel["targets"])


def test_the_dashboards_queries_are_queries(tmp_path: Path) -> None:
    board = json.loads((OPS / "grafana/dashboards/pilot.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(queries)} rules found" in run("promtool", "check", "rules", "queries.yml", cwd=tmp_path)


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({"ALERT_WEBHOOK": "http://localhost:1234/hook"}, "webhook_configs"),
        ({"ALERT_MAIL_TO": "ada@example.org", "ALERT_SMTP": "mail.example.org:587"}, "email_configs"),
        ({}, None),
    ],
)
def test_alerts_go_where_env_says(variables: dict[str, str], way: str | None, tmp_path: Path) -> None:
    program = tmp_path / "alertmanager"
    program.write_text('#!/bin/sh\nexec amtool check-config "$ALERTMANAGER_CONFIG"\n')
    program.chmod(0o755)
    written = tmp_path / "alertmanager.yml"
    path = f"{tmp_path}:{os.environ['PATH']}"
    given = [f"{name}={value}" for name, value in variables.items()]
    run("env", *given, OPS / "alertmanager" / "run.sh", cwd=tmp_path, ALERTMANAGER_CONFIG=str(written), PATH=path)
    receivers = {one["name"]: one for one in yaml.safe_load(written.read_text())["receivers"]}
    assert set(receivers["people"]) == {"name", *([way] if way else [])}
    assert set(receivers["watchdog"]) == {"name"}


def held_back(config: dict[str, Any], firing: set[str]) -> set[str]:
    """The alerts of those that fire which no rule of the configuration inhibits."""
    found = set(firing)
    for rule in config["inhibit_rules"]:
        source = re.fullmatch(r'alertname="(\w+)"', rule["source_matchers"][0])
        assert source
        label, _, pattern = re.split(r"(=~|=)", rule["target_matchers"][0], maxsplit=1)
        for name in firing:
            value = name if label == "alertname" else alerts()[name]["labels"][label]
            if source[1] in firing and re.fullmatch(pattern.strip('"'), value):
                found.discard(name)
    return found


def test_before_gate_3_no_alert_calls_anybody_but_the_watchdog_does(tmp_path: Path) -> None:
    program = tmp_path / "alertmanager"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    written, path = tmp_path / "alertmanager.yml", f"{tmp_path}:{os.environ['PATH']}"
    run(OPS / "alertmanager" / "run.sh", cwd=tmp_path, ALERTMANAGER_CONFIG=str(written), PATH=path)
    config = yaml.safe_load(written.read_text())
    assert held_back(config, set(alerts())) == {"BurnIn", "Watchdog"}
    assert held_back(config, {"KnownItemsWrong", "Watchdog"}) == {"KnownItemsWrong", "Watchdog"}
    assert held_back(config, {"DatabaseDown", "ErrorBudgetFast"}) == {"DatabaseDown"}
