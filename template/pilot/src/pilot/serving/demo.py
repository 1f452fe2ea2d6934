"""`pilot demo`: the whole round trip over HTTP, on a scratch database and a scratch model, in a minute."""

from __future__ import annotations

import re
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet
from pydantic import SecretStr

from pilot.contract import Item, PilotError, Prediction, Team
from pilot.models.examples import lessons, read_examples
from pilot.records import controls, keys
from pilot.records.controls import Mode
from pilot.records.database import migrate, open_database, writing
from pilot.records.queries import summary
from pilot.serving.live_settings import INTERVAL
from pilot.serving.scratch import direct, served, unwinding
from pilot.settings import Settings

Examples = list[tuple[Item, Prediction]]
Say = Callable[[str], Any]
SAMPLES = 24
WHO = "pilot demo"


def run(team: Team, settings: Settings, say: Say) -> None:
    """Trains on most of the examples, serves, sends the others, and prints the results.

    Raises PilotError when the examples or the service do not allow it. Leaves nothing running and nothing behind.
    """
    file = settings.root / "data" / "examples.csv"
    examples, refused = read_examples(team, file, None, None)
    if refused or len(examples) < 2 * SAMPLES:
        raise PilotError(
            f"The demo needs {2 * SAMPLES} rows in {file} that fit the schema; there are {len(examples)}. "
            + " ".join(refused[:3])
        )
    step = len(examples) // SAMPLES
    samples, rest = examples[::step][:SAMPLES], [one for n, one in enumerate(examples) if n % step]
    with unwinding(), tempfile.TemporaryDirectory(prefix="pilot-demo-") as folder:
        scratch = settings.model_copy(
            update={
                "models": Path(folder) / "models",
                "database_url": f"sqlite:///{folder}/demo.db",
                # A regulated pilot must encrypt, and has no key of its own in its first minute.
                "data_key": SecretStr(Fernet.generate_key().decode()),
            }
        )
        if team.train is not None:
            say(f"1. Training a model on {len(rest)} examples; {len(samples)} are kept back.")
            team.train([item for item, _ in rest], lessons(team, [final for _, final in rest]), scratch)
        else:
            say("1. This pilot buys its model: nothing to train.")
        migrate(engine := open_database(scratch))
        with writing(engine) as connection:
            controls.mark_scratch(connection, WHO)
            caller = keys.create(connection, "caller", "demo", "demo", WHO)
        with served(scratch, Path(folder), PILOT_KNOWN_INTERVAL="0") as running:
            url = running.url
            say(f"2. Serving on {url}, in shadow: people decide, and nobody sees the AI's answers.")
            _shadow(url, caller, samples, say)
            with writing(engine) as connection:
                controls.set_mode(connection, Mode.ASSIST, WHO)
            _assist(url, caller, samples[0], say)
            with engine.connect() as connection:
                found = summary(connection)
        engine.dispose()
    _tell(found, say)


def _shadow(url: str, key: str, samples: Examples, say: Say) -> None:
    statuses = []
    for item, final in samples:
        response = _call(f"{url}/v1/predictions", key, {"item": item.model_dump(mode="json")})
        statuses.append(response["status"])
        _call(f"{url}/v1/predictions/{response['id']}/outcome", key, {"final": final.model_dump(mode="json")})
    say(f"3. Sent {len(samples)} items; each was answered at once with status {' or '.join(sorted(set(statuses)))!r}.")
    say("   For each a person's final decision was recorded, and compared with what the AI said in secret.")


def _assist(url: str, key: str, sample: tuple[Item, Prediction], say: Say) -> None:
    item, final = sample
    time.sleep(2 * INTERVAL)  # until the service has looked again at what is in force
    response = _call(f"{url}/v1/predictions", key, {"item": item.model_dump(mode="json")})
    say("4. Switched to assist, where the answer is shown to a person who accepts, changes or rejects it:")
    say(f"     item        {_short(item)}")
    if response["prediction"]:
        say(f"     AI          {_short(response['prediction'])}, confidence {response['confidence'] or 0:.2f}")
        if response["confidences"]:
            by_field = ", ".join(f"{name} {sure:.2f}" for name, sure in response["confidences"].items())
            say(f"     by field    {by_field}")
    else:
        say(f"     AI          none, because: {response['reason']}")
        say(f"     suggestion  {_short(response['suggestion']) if response['suggestion'] else 'none'} (today's rules)")
    say(f"     person      {_short(final)}")
    _call(f"{url}/v1/predictions/{response['id']}/outcome", key, {"final": final.model_dump(mode="json")})


def _tell(found: dict[str, Any], say: Say) -> None:
    def percent(value: float | None) -> str:
        return "nothing to compare" if value is None else f"{value:.0%}"

    say(f"5. Recorded: {found['items']} items, {found['outcomes']} outcomes, in a scratch database that is gone now.")
    without = "unavailable" in found["by_failure"]
    agreed = "no item: there is no AI yet" if without else percent(found["agreement"])
    say(f"     the AI agreed with people on        {agreed}")
    say(f"     today's rules agreed with people on {percent(found['rules_agreement'])}")
    say("   These are invented examples: they show that the parts work, not how good an AI is at your problem.")
    say("")
    say("Next:")
    if without:
        say("  set PILOT_LLM_MODEL and the key, see .env.example         the AI that answers")
    else:
        say("  uv run pilot model train                                  a model that the service uses")
    say("  uv run pilot serve                                        the service, on http://127.0.0.1:8000")
    say("  uv run pilot keys create reviewer --name 'Your Name'      a key for the review page, /review")
    say("  uv run pilot ingest FILE --input COLUMN                   your own items, once the baseline is frozen")


def _short(value: Any) -> str:
    fields = value if isinstance(value, dict) else value.model_dump(mode="json")
    text = re.sub(r"\s+", " ", ", ".join(str(part) for part in fields.values()))
    return text if len(text) <= 80 else text[:77] + "..."


def _call(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url, orjson.dumps(body), headers)  # noqa: S310 - a loopback address
    try:
        with direct.open(request, timeout=60) as response:
            found: dict[str, Any] = orjson.loads(response.read())
            return found
    except urllib.error.HTTPError as error:
        raise PilotError(f"The service answered {error.code} to {url}: {error.read().decode()}") from error
