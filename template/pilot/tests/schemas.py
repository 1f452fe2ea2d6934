"""JSON Schemas of the documents for editors: `python tests/schemas.py schemas` in template/pilot writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from pilot.workbench.documents import baseline, files, interviews

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NONE = {"type": "null"}
# An empty cell of a table is an empty text.
_EMPTY = {"const": ""}
_ABOUT = {".md": "The front matter of", ".toml": "The facts of", ".csv": "One row of"}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its name."""
    found = {file.stem: _schema(model, file) for file, model in files.MODELS.items()}
    # A measurement may come from JSON Lines too, where an unknown value is null.
    found["baseline"] = _schema(baseline.Measurement, baseline.BASELINE, _NONE)
    found["interview"] = _schema(interviews.Answers, interviews.INTERVIEWS / "*.md")
    return found


def _schema(model: type[BaseModel], file: Path, none: dict[str, str] | None = None) -> dict[str, Any]:
    none = none or (_EMPTY if file.suffix == ".csv" else _NONE)
    description = f"{_ABOUT[file.suffix]} {file.as_posix()}."
    return {"$schema": _DIALECT, **_for_yaml(model.model_json_schema(), none), "description": description}


def write(folder: Path) -> None:
    """Writes each schema to a file of its own in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = orjson.dumps(schema, option=orjson.OPT_APPEND_NEWLINE)
        (folder / f"{name}.schema.json").write_bytes(text)


def _for_yaml(schema: Any, none: dict[str, str]) -> Any:
    """The schema as editors meet the facts: `yes` is a word in the present YAML and true in the one before, and a fact
    without a value is `none`."""
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
