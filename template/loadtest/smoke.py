"""Runs `pilot loadtest smoke`, for whatever called this file before: a service at LOADTEST_URL, else a scratch copy.

The template owns this file; an update replaces it. Extension point: the table [load] of phases/4-harden/slo.toml.
"""

import os
import sys

from pilot.cli import main

if __name__ == "__main__":
    url = os.environ.get("LOADTEST_URL")
    sys.argv = ["pilot", "loadtest", "smoke", *(["--url", url] if url else [])]
    main()
