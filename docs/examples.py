"""An example of each verb that takes something, for the reference. A test parses each with the command itself."""

from __future__ import annotations

EXAMPLES = {
    "charter": "charter --today 2026-12-01",
    "sign": 'sign charter --as "Ada Byron <ada@example.org>" --role owner',
    "serve": "serve --port 8080",
    "mode": "mode off",
    "ingest": "ingest export.csv --input message --id ticket",
    "baseline import": "baseline import measured.csv",
    "keys create": 'keys create reviewer --name "Ada Byron"',
    "keys revoke": "keys revoke 817d389b",
    "model train": "model train --data data/solved.csv --input text --label queue",
    "evaluate": "evaluate --compare e2b4a4e8eefa7328 e8f67e8fe0a23ed5",
    "report": "report --out report.md",
    "costs": "costs --as-of 2026-12-31",
    "gaps": "gaps --today 2026-12-31",
    "decide": 'decide go --because "93 % of 400 judged items agree; the target was 85 %." --shared-with "Sue Sponsor"',
    "brief": "brief --out var/for-sue.html",
    "interview add": "interview add --role agent --helped yes --problems none --again yes",
    "status": "status --html var/status.html",
    "gate": "gate 1",
    "check": "check --today 2027-01-15",
    "paper add": "paper add costs.toml",
    "paper show": "paper show playbook",
    "template check": "template check Dockerfile",
    "template news": "template news renovate.json",
}
