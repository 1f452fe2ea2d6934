"""Runs a command by the clock of a test: `CLOCK=FILE python clock.py pilot status`, where the file holds a day.

The commands read the clock of the machine, and have no option that moves it where they write evidence. It is noon when
the file is written, and time goes on from there; a service that runs sees each day that the file gets.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

CLOCK = Path(os.environ["CLOCK"])


def seconds() -> float:
    """The moment by the clock, as `time.time` gives it."""
    noon = datetime.fromisoformat(f"{CLOCK.read_text(encoding='utf-8')}T12:00:00+00:00")
    return noon.timestamp() + max(time.time() - CLOCK.stat().st_mtime, 0)


def today(cls: type[date]) -> date:
    return cls.fromtimestamp(seconds())


def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
    return cls.fromtimestamp(seconds(), tz)


def replace(kind: type, method: Callable[..., Any]) -> None:
    """Replaces a class method of a type that is built in, which Python itself refuses: libraries compare with these
    types and derive from them, so no other may stand in for them."""
    [names] = gc.get_referents(kind.__dict__)
    names[method.__name__] = classmethod(method)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


replace(date, today)
replace(datetime, now)
command = shutil.which(sys.argv[1])
assert command, f"{sys.argv[1]} is not on the PATH"
sys.argv = [command, *sys.argv[2:]]
runpy.run_path(command, run_name="__main__")
