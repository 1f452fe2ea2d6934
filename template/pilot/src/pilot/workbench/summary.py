"""What is recorded, in figures: the one source of `pilot status`, the demo and the pages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from pilot.records import controls, reader
from pilot.records.keys import ORIGINS
from pilot.workbench.metrics import quantile, share


def summary(connection: Connection) -> dict[str, Any]:
    """Counts and shares over everything recorded, and by origin; only `live` counts for the gates.

    `agreement` is the metric accuracy, the same number as that of `pilot evaluate`: the share of judged items whose
    answer agrees, failures and abstentions counting against it, an audited one for all that it speaks for. `coverage`:
    share of items with an outcome. `latency`: seconds of the model's answers. A share of nothing is none.
    """
    counts = reader.counts(connection)
    seconds = reader.answer_seconds(connection)
    return {
        "mode": controls.mode(connection).value,
        **counts,
        **_quality(reader.judged(connection)),
        "origins": {
            origin: _quality(reader.judged(connection, origin)) for origin in ORIGINS if origin in counts["by_origin"]
        },
        "latency": {"median": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95), "answers": len(seconds)},
    }


def _quality(judged: reader.Judged) -> dict[str, Any]:
    return {
        "items": judged.items,
        "outcomes": judged.outcomes,
        "coverage": share(judged.outcomes, judged.items),
        "agreement": share(judged.agreeing, judged.compared),
        "rules_agreement": share(judged.rules_agreeing, judged.rules_compared),
    }
