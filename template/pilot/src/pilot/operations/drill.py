"""Drills: a page of the runbook is followed on a scratch copy of the service, into which its fault was injected."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from pilot.contract import Answer, Failure, PilotError, Team
from pilot.models.store import Artefact, ModelStore, load_active
from pilot.operations import prometheus
from pilot.operations.copy import Copy, copied, known
from pilot.operations.prometheus import Alert, Prometheus
from pilot.records import controls, keys, rollout
from pilot.records.controls import Mode
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.rollout import Reach
from pilot.records.writer import AnswerRecord, Insert, Record, Writer
from pilot.serving.scratch import Scratch, direct
from pilot.serving.watch import KNOWN_FILE
from pilot.settings import Settings
from pilot.workbench import evidence
from pilot.workbench.documents import runbook
from pilot.workbench.documents.runbook import Page, Step

# A drill runs this many times faster than the rules: their windows, and the interval of the known items.
FASTER = 30
KNOWN_INTERVAL = 4.0
# How long the alert may take to come, and to go once the page was followed; and how long a person may take.
PATIENCE, SURPRISE = 90.0, 1800.0
# So many failed answers step a stage back.
_FAILING = 60
WHO = "pilot drill"
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Rehearsal(Copy):
    """A scratch copy, and the Prometheus that looks at it."""

    prometheus: Prometheus


@dataclass(frozen=True)
class Drilled:
    """What a drill showed: the seconds until the alert came, and from the first command until it was gone."""

    page: str
    fault: str | None
    detected: float | None
    restored: float


def bad_model(copy: Rehearsal) -> None:
    """A version that gives each label, field or reply for the next one, or numbers far off, is put in force."""
    store = ModelStore(copy.settings.models)
    good = load_active(copy.settings)
    bad = store.save(spoiled(good, copy))
    with writing(copy.engine) as connection:
        controls.promote(connection, bad, good.card.version, WHO, {"approved_by": WHO})


def spoiled(good: Artefact, copy: Rehearsal) -> Artefact:
    """A model as `good` whose answers are wrong, and which loads all the same."""
    labels, beside = good.card.labels, good.beside
    match good.card.task:
        case "classify":
            labels = labels[1:] + labels[:1]
        case "extract":
            from pilot.models.extraction import OUTSIDE, learnable  # a bought model comes without its libraries

            names = sorted({label[2:] for label in labels if label != OUTSIDE})
            # What was found for one text field can be read as another, so that the answer is wrong, not missing.
            fields = {".".join(path): field for path, field in learnable(copy.team.prediction).items()}
            texts = [name for name in names if fields[name].kind is str]
            names = texts if len(texts) > 1 else names
            turned = {f"{kind}-{name}": f"{kind}-{names[at - 1]}" for kind in "BI" for at, name in enumerate(names)}
            if len(names) == 1:
                turned = {f"B-{names[0]}": OUTSIDE, OUTSIDE: f"B-{names[0]}"}
            labels = tuple(turned.get(label, label) for label in labels)
        case "draft":
            kept = json.loads(beside)
            beside = json.dumps(kept | {"replies": kept["replies"][1:] + kept["replies"][:1]}).encode()
        case "score":
            kept = json.loads(beside)
            off = 10 * (abs(kept["low"]) + abs(kept["high"]) + 1)
            beside = json.dumps(kept | {"low": off, "high": off}).encode()  # answers stay between these
    changed = {"labels": labels, "beside_sha256": hashlib.sha256(beside).hexdigest() if beside else ""}
    return Artefact(good.card.model_copy(update=changed), good.onnx, beside)


def wrong_answers(copy: Rehearsal) -> None:
    """The model begins to give each label for the next one."""
    if copy.provider is None:
        bad_model(copy)
    else:
        copy.provider.wrong = True


def provider_down(copy: Rehearsal) -> None:
    """The provider of the model answers each call with an error."""
    assert copy.provider is not None  # noqa: S101 - `drillable` sees to it
    copy.provider.status = 503


def unloadable_model(copy: Rehearsal) -> None:
    """A version that the store does not hold is put in force."""
    with writing(copy.engine) as connection:
        controls.promote(connection, "0" * 16, load_active(copy.settings).card.version, WHO, {"approved_by": WHO})


def unsafe_flag(copy: Rehearsal) -> None:
    """A person flags an answer as unsafe."""
    item, final = known(copy.team, copy.settings)[0]
    with writing(copy.engine) as connection:
        headers = {"authorization": f"Bearer {keys.create(connection, 'caller', 'drill', 'test', WHO)}"}
    answered = post(f"{copy.service.url}/v1/predictions", headers, {"item": item.model_dump(mode="json")})
    body = {"final": final.model_dump(mode="json"), "flag": "unsafe"}
    post(f"{copy.service.url}/v1/predictions/{answered['id']}/outcome", headers, body)


def failing_stage(copy: Rehearsal) -> None:
    """A second stage of the rollout is opened, in which answers fail."""
    moment, item = now(), known(copy.team, copy.settings)[0][0]
    writer = Writer(Vault(copy.settings.data_keys), copy.team.prediction)
    with writing(copy.engine) as connection:
        first = rollout.change(connection, Reach(0.1), 0, WHO)
        stage = rollout.change(connection, Reach(0.25), first.version, WHO)
        changes = []
        for mode, failure in ((Mode.ASSIST, Failure.ERROR), (Mode.SHADOW, Failure.ABSTAINED)) * _FAILING:
            content = item.model_dump_json().encode()
            record = Record(WHO, "live", mode, item, content, WHO, WHO, moment, moment, rollout_version=stage.version)
            answer = AnswerRecord("primary", "model", Answer.failed(failure), "drill", "", moment, moment)
            changes.append(Insert(record, answers=(answer,)))
        writer.insert(connection, changes)


def none(copy: Rehearsal) -> None:
    """No fault: the page is a planned action."""


FAULTS: dict[str, Callable[[Rehearsal], None]] = {
    fault.__name__: fault
    for fault in (bad_model, wrong_answers, provider_down, unloadable_model, unsafe_flag, failing_stage, none)
}


def drillable(team: Team, root: Path) -> list[str]:
    """The pages whose fault can be injected here. The others name none, and are for the service under Compose."""
    return runbook.drillable(root, "buy" if team.train is None else "build")


def run(team: Team, settings: Settings, name: str, say: Say, *, mitigate: bool = True) -> Drilled:
    """Injects the page's fault, waits for its alert, follows Mitigate and Verify, and waits until the alert is gone.

    A page without an alert counts as broken while its Verify fails. Without `mitigate` no command is run, and it must
    stay broken. Nothing outside of the scratch copy is touched, and nothing of it is left.

    Raises PilotError where the page does not do what it says, or Prometheus is not installed.
    """
    page = runbook.read(settings.root, name)
    if page.header.fault not in FAULTS or name not in drillable(team, settings.root):
        raise PilotError(
            f"runbook/{name}.md names no fault that can be injected here. Pages to drill: "
            f"{', '.join(drillable(team, settings.root))}."
        )
    with _rehearsal(team, settings) as copy:
        broken = _broken(copy, page, settings.root)
        say(f"{name}: {FAULTS[page.header.fault].__doc__}")
        begun = time.monotonic()
        FAULTS[page.header.fault](copy)
        detected = _wait(broken, PATIENCE, f"{name}: no alert came after the fault") if page.header.alert else None
        say(f"{name}: noticed after {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        if not mitigate:
            if page.header.alert:
                time.sleep(PATIENCE / 3)
            # The alert of a single event ends by itself, and the harm goes on.
            if not broken() and _verifies(copy, page, settings.root):
                raise PilotError(f"{name}: it recovered by itself, so its page proves nothing.")
            return Drilled(name, page.header.fault, detected, time.monotonic() - begun)
        follow(copy.service, settings.root, page.steps("First look") + page.steps("Mitigate") + page.steps("Verify"))
        if page.header.alert:
            _wait(lambda: not broken(), PATIENCE, f"{name}: its alert is still there after Mitigate and Verify")
        restored = time.monotonic() - begun
        follow(copy.service, settings.root, page.steps("Roll back"))
        say(f"{name}: restored after {restored:.0f} s")
        return Drilled(name, page.header.fault, detected, restored)


def surprise(team: Team, settings: Settings, person: str, say: Say) -> Drilled:
    """Injects a fault that is drawn and not told, says what a pager would, and waits until the person has fixed it."""
    root = settings.root
    pages = [page for name in drillable(team, root) if (page := runbook.read(root, name)).header.alert]
    page = secrets.choice(pages)
    with _rehearsal(team, settings) as copy:
        broken = _broken(copy, page, root)
        begun = time.monotonic()
        FAULTS[str(page.header.fault)](copy)
        detected = _wait(broken, PATIENCE, "no alert came after the fault")
        alert = next(alert for alert in _alerts_of(page, root) if copy.prometheus.holds(_fast(alert)))
        file = copy.folder / "drill.env"
        own = {name: value for name, value in copy.service.environment.items() if name.startswith("PILOT_")}
        file.write_text("".join(f"export {name}='{value}'\n" for name, value in own.items()), encoding="utf-8")
        file.chmod(0o600)
        say(
            f"{alert.name}: {alert.summary}\n{alert.page}\n"
            f"The scratch copy is at {copy.service.url}. In another shell: . {file}"
        )
        begun = time.monotonic()
        _wait(lambda: not broken(), SURPRISE, "it was not fixed")
        restored = time.monotonic() - begun
        say(f"Fixed by {person} after {restored:.0f} s; it was {page.header.fault}.")
        return Drilled(page.name, page.header.fault, detected, restored)


def record(root: Path, drilled: Drilled, today: date, by: str, kind: str) -> Path:
    """Writes the evidence of a drill and returns its path."""
    facts = {
        "page": drilled.page,
        "fault": drilled.fault,
        "detected_seconds": drilled.detected and round(drilled.detected, 1),
        "restored_seconds": round(drilled.restored, 1),
        "faster_than_the_rules": FASTER,
        "by": by,
        "how": kind,
    }
    return evidence.append(root, "drill", f"drill-{drilled.page}", today, facts)


def follow(service: Scratch, root: Path, steps: list[Step]) -> str:
    """Runs the commands in one shell that stops at the first that fails. Returns what they print.

    Raises PilotError where a command fails, or an output is without what the page promises.
    """
    # `-e` does not see the end of a list such as `test A && B`.
    script = "\n".join(f"{step.commands}\n[ $? -eq 0 ] || exit 1\necho '{_MARK}'" for step in steps)
    done = subprocess.run(  # noqa: S603 - the commands of the pilot's own pages
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607 - the shell of this machine
        cwd=root,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise PilotError(
            f"A command of the page failed ({done.returncode}):\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
    for step, output in zip(steps, done.stdout.split(_MARK), strict=False):
        for line in step.expected:
            if line not in output:
                raise PilotError(f"The page promises {line!r}, and this was printed:\n{output.strip()[-1500:]}")
    return done.stdout.replace(f"{_MARK}\n", "")


_MARK = "-- the next block --"


def post(url: str, headers: dict[str, str], body: dict[str, Any]) -> Any:
    """Sends JSON to the scratch copy and returns the JSON of the answer."""
    request = urllib.request.Request(  # noqa: S310 - a loopback address
        url, orjson.dumps(body), {**headers, "content-type": "application/json"}
    )
    with direct.open(request, timeout=60) as response:
        return orjson.loads(response.read())


@contextmanager
def _rehearsal(team: Team, settings: Settings) -> Iterator[Rehearsal]:
    """A scratch copy whose known items are answered rightly, and a Prometheus beside it."""
    prometheus.program("prometheus")
    known(team, settings)
    with (
        copied(team, settings, WHO, PILOT_KNOWN_INTERVAL=str(KNOWN_INTERVAL)) as copy,
        prometheus.running(copy.folder, copy.metrics) as looking,
    ):
        right = 'sum(pilot_known_items_total{result="right"}) >= 2'
        _wait(lambda: looking.holds(right), PATIENCE, f"The model answers no item of {KNOWN_FILE} rightly")
        yield Rehearsal(**vars(copy), prometheus=looking)


def _alerts_of(page: Page, root: Path) -> list[Alert]:
    return [alert for alert in prometheus.alerts(root) if alert.name in page.header.alert]


def _fast(alert: Alert) -> str:
    return prometheus.faster(alert.expression, FASTER)


def _broken(copy: Rehearsal, page: Page, root: Path) -> Callable[[], bool]:
    """Whether one of the page's alerts is true, or, for a page without one, whether its Verify fails."""
    if page.header.alert:
        known = [_fast(alert) for alert in _alerts_of(page, root)]
        # What is true before the fault, such as that there is one version only, says nothing about it.
        expressions = [expression for expression in known if not copy.prometheus.holds(expression)]
        if not expressions:
            raise PilotError(
                f"The rules have no alert {' or '.join(page.header.alert)}, which runbook/{page.name}.md names, "
                "or it was true before the fault, so that a drill would prove nothing."
            )
        return lambda: any(copy.prometheus.holds(expression) for expression in expressions)

    return lambda: not _verifies(copy, page, root)


def _verifies(copy: Rehearsal, page: Page, root: Path) -> bool:
    try:
        follow(copy.service, root, page.steps("Verify"))
    except PilotError:
        return False
    return True


def _wait(condition: Callable[[], bool], patience: float, failed: str) -> float:
    """The seconds until the condition held. Raises PilotError that begins with `failed`."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > patience:
            raise PilotError(f"{failed}, within {patience:.0f} s.")
        time.sleep(0.5)
    return time.monotonic() - begun
