"""JSON Schemas of the documents' facts and rows, for editors: `python -m pilot.workbench.documents.schemas FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from pilot.charter import CHARTER, OBJECTIVES, Charter, Objectives
from pilot.workbench.documents import baseline, candidates, costs, gaps, interviews, operations

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, tuple[type[BaseModel], str]] = {
    "charter": (Charter, f"The front matter of {CHARTER.as_posix()}."),
    "slo": (Objectives, f"The objectives in {OBJECTIVES.as_posix()}."),
    "baseline": (baseline.Measurement, f"One row of {baseline.BASELINE.as_posix()}."),
    "candidates": (candidates.Candidate, f"One row of {candidates.CANDIDATES.as_posix()}."),
    **{name: (kind, f"The front matter of {kind.file.as_posix()}.") for name, kind in operations.DOCUMENTS.items()},
    "costs": (costs.Costs, f"The ranges in {costs.COSTS.as_posix()}."),
    "interview": (interviews.Answers, f"The front matter of a file in {interviews.INTERVIEWS.as_posix()}/."),
    "gaps": (gaps.Row, f"One row of {gaps.GAPS.as_posix()}."),
}


_NONE = {"type": "null"}
# A cell without a value is an empty text.
_TABLES: dict[str, dict[str, str]] = {"candidates": {"const": ""}, "gaps": {"const": ""}}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its name."""
    return {
        name: {
            "$schema": _DIALECT,
            **_for_yaml(model.model_json_schema(), _TABLES.get(name, _NONE)),
            "description": what,
        }
        for name, (model, what) in _MODELS.items()
    }


def write(folder: Path) -> None:
    """Writes each schema to a file of its own in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = orjson.dumps(schema, option=orjson.OPT_APPEND_NEWLINE)
        (folder / f"{name}.schema.json").write_bytes(text)


def _for_yaml(schema: Any, none: dict[str, str]) -> Any:
    """The schema as editors meet the facts: `yes` is a word in the present YAML and true in the one before, and a fact
    that stands there without a value is `none`."""
    if isinstance(schema, list):
        return [_for_yaml(part, none) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema == _NONE:
        return none
    found = {
        name: _for_yaml(part, none) for name, part in schema.items() if name != "title" or not isinstance(part, str)
    }
    if found.get("type") == "boolean":
        found = {"enum": [True, False, "yes", "no"], **{name: part for name, part in found.items() if name != "type"}}
    for name, part in found.get("properties", {}).items():
        if "default" in part and "anyOf" not in part:
            about = {key: part.pop(key) for key in ("default", "description") if key in part}
            found["properties"][name] = {"anyOf": [part, none], **about}
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]))
