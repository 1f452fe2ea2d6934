"""A Prometheus of this machine on the pilot's own rules: for drills, and to look back over the records."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from pilot.contract import PilotError
from pilot.serving.scratch import direct, free_port, started
from pilot.workbench.pilot import Watched

RULES = Path("ops/prometheus/rules")
# The requests for which slo.toml promises.
ROUTE = "/v1/predictions"
_WINDOW = re.compile(r"\[(\d+)([smhd])\]")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Alert:
    """An alert of the rules, and the page of the runbook that it leads to. It fires when its expression has been true
    for `hold` seconds."""

    name: str
    expression: str
    severity: str
    summary: str
    page: str
    hold: int = 0


def alerts(root: Path) -> list[Alert]:
    """The alerts of the pilot's rule files. Raises PilotError where a file is none of rules."""
    found: list[Alert] = []
    for file in sorted((root / RULES).glob("*.yml")):
        try:
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
            found += (_alert(rule) for group in groups for rule in group["rules"] if "alert" in rule)
        except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise PilotError(
                f"{file.relative_to(root)} is no file of rules ({type(error).__name__}). "
                "`promtool check rules` says why."
            ) from error
    return found


def _alert(rule: dict[str, Any]) -> Alert:
    told, severity = rule.get("annotations", {}), rule.get("labels", {}).get("severity", "none")
    summary, page, hold = told.get("summary", ""), told.get("runbook_url", ""), seconds(rule.get("for", "0s"))
    return Alert(rule["alert"], " ".join(rule["expr"].split()), severity, summary, page, hold)


def seconds(duration: str) -> int:
    """The seconds of a duration as rules write it, such as 90s or 15m. Raises KeyError and ValueError for others."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def faster(expression: str, times: int) -> str:
    """The expression with each of its windows so many times shorter, 2 s at least."""
    return _WINDOW.sub(lambda found: f"[{max(2, seconds(found[1] + found[2]) // times)}s]", expression)


def program(name: str) -> str:
    """The path of one of Prometheus' programs. Raises PilotError where it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise PilotError(
            f"`{name}` is not on the PATH. Install Prometheus, which most systems have as a package; its "
            "archive holds `promtool` too."
        )
    return path


class Prometheus:
    """The HTTP API of a Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer. Raises PilotError where there is none."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with direct.open(address, timeout=60) as response:
                return orjson.loads(response.read())["data"]
        except urllib.error.HTTPError as error:
            raise PilotError(f"Prometheus refuses {path} {query}: {error.read().decode()[:300]}") from error
        except (OSError, ValueError, KeyError) as error:
            raise PilotError(f"Prometheus does not answer at {self.url} ({type(error).__name__}).") from error

    def fired(self) -> dict[str, tuple[float, int]]:
        """When each alert fired last (seconds since 1970), and for how many minutes in 28 days. Raises PilotError."""
        firing = 'ALERTS{alertstate="firing"}'
        last = self._by_alert(f"max by (alertname) (max_over_time(timestamp({firing})[28d:1m]))")
        minutes = self._by_alert(f"sum by (alertname) (count_over_time({firing}[28d:1m]))")
        return {name: (moment, int(minutes.get(name, 0))) for name, moment in last.items()}

    def watched(self, root: Path) -> Watched:
        """What it saw of the pilot in `root` in 28 days. Raises PilotError where it does not answer or does not know
        the service."""
        fired = self.fired()
        now = set(self._by_alert('ALERTS{alertstate="firing"}'))
        told = [alert for alert in alerts(root) if alert.name in fired and alert.severity in ("page", "ticket")]
        found = [
            (alert.summary, datetime.fromtimestamp(fired[alert.name][0], UTC), fired[alert.name][1], alert.name in now)
            for alert in told
        ]
        came = f'pilot_requests_total{{route="{ROUTE}"%s}}'
        return Watched(tuple(found), self._increase(came % ""), self._increase(came % ',status=~"5.."'))

    def _increase(self, series: str) -> float:
        found = self.ask("query", query=f"sum(increase({series}[28d]))")["result"]
        if not found:
            raise PilotError(f"The Prometheus at {self.url} has no metrics of this service.")
        return float(found[0]["value"][1])

    def _by_alert(self, query: str) -> dict[str, float]:
        found = self.ask("query", query=query)["result"]
        return {line["metric"]["alertname"]: float(line["value"][1]) for line in found}

    def holds(self, expression: str) -> bool:
        """Whether an expression is true now: it has a result."""
        return bool(self.ask("query", query=expression)["result"])


@contextmanager
def running(folder: Path, target: str | None = None, *options: str) -> Iterator[Prometheus]:
    """A Prometheus that keeps its data in `folder`, and asks `target` (HOST:PORT) for metrics every second.

    Raises PilotError where it is not installed or does not start.
    """
    scrape = [{"job_name": "pilot", "static_configs": [{"targets": [target]}]}] if target else []
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": scrape}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *options,
    ]
    url = f"http://127.0.0.1:{port}"
    with started("Prometheus", command, folder / "prometheus.log", f"{url}/-/ready"):
        yield Prometheus(url)
