"""The form of the papers: whether each can be read. What they say is the gates' matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pilot.charter import CHARTER, OBJECTIVES, read_charter, read_objectives
from pilot.contract import PilotError
from pilot.workbench.documents import baseline, candidates, costs, gaps, interviews, measurements, shortpapers
from pilot.workbench.documents.model import Issue

RULE = "papers-readable"
_READERS: dict[Path, Callable[[Path], object]] = {
    CHARTER: read_charter,
    baseline.BASELINE: lambda root: measurements.read_all(root, baseline.BASELINE),
    costs.COSTS: costs.read,
    OBJECTIVES: read_objectives,
}


def problems(root: Path) -> list[Issue]:
    """What cannot be read in the papers of the pilot in `root`: wrong YAML, TOML or CSV, and facts that break their
    schema. An empty paper can be read."""
    found = []
    for paper, read in _READERS.items():
        try:
            read(root)
        except PilotError as error:
            found.append(Issue(paper.as_posix(), None, "cannot be read.", str(error), RULE))
    for name, kind in shortpapers.PAPERS.items():
        try:
            if (root / kind.file).is_file():
                shortpapers.read(root, name)
        except PilotError as error:
            found.append(Issue(kind.file.as_posix(), None, "cannot be read.", str(error), RULE))
    try:
        rows = candidates.read(root).problems
    except PilotError as error:
        return [*found, Issue(candidates.CANDIDATES.as_posix(), None, "cannot be read.", str(error), RULE)]
    found += interviews.read(root).unreadable
    if (root / gaps.GAPS).is_file():
        found += gaps.of_paper(root).unreadable
    return [*found, *(problem for problem in rows if problem.rule == candidates.SCORED and problem.line is not None)]
