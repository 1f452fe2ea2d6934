"""The settings are documented once more for people who copy `.env.example`, and that copy must not go stale."""

from __future__ import annotations

import re

from helpers import ROOT
from pilot.settings import SECRETS, Settings

LINES = (ROOT / "template" / ".env.example").read_text(encoding="utf-8").splitlines()
GIVEN = dict(re.findall(r"^# ?(PILOT_\w+)=(.*)$", "\n".join(LINES), re.MULTILINE))


def test_every_setting_stands_in_the_example() -> None:
    expected = {f"PILOT_{name.upper()}" for name in Settings.model_fields if name not in SECRETS}
    assert GIVEN.keys() == expected | {f"PILOT_{name.upper()}_FILE" for name in SECRETS} | {"PILOT_UID"}


def test_the_defaults_in_the_example_are_those_in_force() -> None:
    for name, field in Settings.model_fields.items():
        if name not in SECRETS and GIVEN[f"PILOT_{name.upper()}"]:
            validated = Settings.__pydantic_validator__.validate_python({name: GIVEN[f"PILOT_{name.upper()}"]})
            assert field.default is not None
            assert str(getattr(validated, name)).endswith(str(field.default).removeprefix("sqlite:///"))


def test_no_secret_is_given_a_value() -> None:
    assert not [line for line in LINES if line and not line.startswith("#")]
    assert not {f"PILOT_{name.upper()}" for name in SECRETS} & GIVEN.keys()
