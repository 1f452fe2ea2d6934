"""`python -m pilot.cli`."""

from pilot.cli import main

main()
