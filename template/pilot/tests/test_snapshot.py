"""A command reads each document once, and the checks of the checkout load no database."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from test_gates_decide import Work, pilot  # noqa: F401 - a fixture

from pilot.workbench import gates

LOADED = """
import sys
from pathlib import Path
from datetime import date
from pilot.workbench.checks import broken
from pilot.workbench.pilot import Pilot
broken(Pilot(Path(sys.argv[1]), date(2027, 1, 1)))
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts each file that is opened from now on."""
    counted: Counter[str] = Counter()
    opened = Path.open

    def counting(self: Path, *args: object, **more: object) -> object:
        counted[self.name] += 1
        return opened(self, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counting)
    return counted


def test_gate_3_reads_each_document_a_few_times_at_most(
    pilot: Work,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pilot.works().decides()
    counted = reads(monkeypatch)
    assert gates.inspect(pilot.view, 3).holds
    # The form of an interview is read, and then its text is hashed where a gate passes.
    assert {name: times for name, times in counted.items() if times > 2} == {}
    assert counted["costs.toml"] == 1


def test_a_check_of_the_checkout_loads_neither_the_database_nor_the_statistics(pilot: Work) -> None:  # noqa: F811
    pilot.works()
    done = subprocess.run([sys.executable, "-c", LOADED, pilot.root], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pilot" in loaded
    assert loaded & {"sqlalchemy", "alembic", "numpy", "scipy", "statsmodels", "matplotlib", "fastapi"} == set()
