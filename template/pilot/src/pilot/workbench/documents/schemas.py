"""JSON Schemas of the documents' facts and rows, for editors: `python -m pilot.workbench.documents.schemas FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from pilot.charter import Charter, Objectives
from pilot.workbench.documents import gaps, interviews, shortpapers
from pilot.workbench.documents.candidates import AXES, COLUMNS, LEAST, MOST
from pilot.workbench.documents.costs import Costs
from pilot.workbench.documents.measurements import Measurement
from pilot.workbench.found import SEVERITIES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its name: the facts of charter, objectives, costs, conversations and short papers, one row of the
    candidates, the baseline and the gaps."""
    return {
        "charter": _of(Charter, "The front matter of phases/1-scope/charter.md."),
        "slo": _of(Objectives, "The objectives in phases/4-harden/slo.toml."),
        "baseline": _of(Measurement, "One row of phases/2-build/baseline.csv."),
        "candidates": _candidates(),
        **{
            name: _of(kind.facts, f"The front matter of {kind.file.as_posix()}.")
            for name, kind in shortpapers.PAPERS.items()
        },
        "costs": _of(Costs, "The ranges in phases/3-decide/costs.toml."),
        "interview": _of(interviews.Facts, "The front matter of a file in phases/3-decide/interviews/."),
        "gaps": _gaps(),
    }


def write(folder: Path) -> None:
    """Writes each schema to a file of its own in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = orjson.dumps(schema, option=orjson.OPT_APPEND_NEWLINE)
        (folder / f"{name}.schema.json").write_bytes(text)


def _of(model: type[BaseModel], description: str) -> dict[str, Any]:
    found: dict[str, Any] = _for_yaml(model.model_json_schema())
    return {"$schema": _DIALECT, **found, "description": description}


def _for_yaml(schema: Any) -> Any:
    """The schema as editors meet the facts: `yes` is a word in the present YAML and true in the one before, and a fact
    that stands there without a value is none."""
    if isinstance(schema, list):
        return [_for_yaml(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "boolean":
        return {"enum": [True, False, "yes", "no"]}
    found = {name: _for_yaml(part) for name, part in schema.items() if name != "title" or not isinstance(part, str)}
    for name, part in found.get("properties", {}).items():
        if "default" in part and "anyOf" not in part:
            found["properties"][name] = {"anyOf": [part, {"type": "null"}]}
    return found


def _candidates() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    rows: dict[str, Any] = {name: {**text, "description": meaning} for name, meaning in COLUMNS.items()}
    for axis in AXES:
        rows[axis] = {"type": "integer", "minimum": LEAST, "maximum": MOST, "description": COLUMNS[axis]}
    rows["selected"] = {"enum": ["yes", "no", ""], "description": COLUMNS["selected"]}
    rows["override"] = {"type": "string", "description": COLUMNS["override"]}
    return {
        "$schema": _DIALECT,
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in COLUMNS if name not in ("selected", "override")],
        "properties": rows,
        "description": "One row of phases/1-scope/candidates.csv.",
    }


def _gaps() -> dict[str, Any]:
    rows: dict[str, Any] = {name: {"type": "string", "description": what} for name, what in gaps.COLUMNS.items()}
    rows["severity"] = {"enum": [*SEVERITIES, ""], "description": gaps.COLUMNS["severity"]}
    rows["effort_days"] = {"anyOf": [{"type": "number", "minimum": 0}, {"const": ""}]}
    rows["effort_days"]["description"] = gaps.COLUMNS["effort_days"]
    rows["state"] = {"enum": [*gaps.STATES, ""], "description": gaps.COLUMNS["state"]}
    return {
        "$schema": _DIALECT,
        "type": "object",
        "additionalProperties": False,
        "required": list(gaps.COLUMNS),
        "properties": rows,
        "description": "One row of phases/3-decide/gaps.csv.",
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
