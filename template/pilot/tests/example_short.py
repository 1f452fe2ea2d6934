"""The short papers as a team fills them: the blank ones, with facts and with words where the guidance stood."""

from __future__ import annotations

from pathlib import Path

from pilot.workbench.documents import operations

FACTS = {
    "process-changes": """\
changes:
  - who: the clerks of the first shift
    now: they read each ticket and pick its queue
    becomes: they see the queue that the AI proposes, and change it where it is wrong
    starts: 2027-04-12
    told: {by: Tom Reed, day: 2027-03-29}
helper: {name: Tom Reed, email: tom@example.org}
""",
    "closing": """\
users_told: {by: Tom Reed, day: 2027-03-29}
keys_revoked: {by: Grace Hopper, day: 2027-03-30}
records_kept_until: 2027-10-31
records_reason: the charter keeps them 200 days
records_deleted_by: {name: Grace Hopper, email: grace@example.org}
shut_down: [the service and its database by Grace, the account of the provider by Tom]
lesson: [measure how often people change their minds before a model is asked to be right]
next_candidate: invoice matching, once the scans hold text
""",
    "playbook": """\
owner: {name: Grace Hopper, email: grace@example.org}
rotation:
  - {name: Grace Hopper, reach: 0301234567}
  - {name: Alan Kay, reach: +49 30 7654321}
rotation_hours: "weekdays from 8:00 to 18:00; at other hours the AI is switched off by the shift lead"
rotation_told: {by: Grace Hopper, day: 2027-03-01}
severities:
  - {level: 1, means: wrong answers are used, answer_minutes: 15, told: owner and sponsor}
  - {level: 2, means: answers are slow, answer_minutes: 120, told: owner}
escalation:
  - {after_minutes: 0, who: who is on call, reach: the pager}
  - {after_minutes: 15, who: Grace Hopper, reach: 0301234567}
communications:
  - {audience: users, channel: the status page, when: at once and every 30 minutes, writer: who is on call}
rollback_command: docker compose up -d --no-build pilot
rollback_minutes: 10
rollback_by: who is on call
rpo_minutes: 0
rto_minutes: 60
restore_command: the page "Restore the database" of the runbook
providers:
  - {provider: Example Cloud, what: hosting and database, contact: "+49 30 111, contract 4711"}
cost_owner: {name: Ines Ray, email: ines@example.org}
""",
    "handoff": """\
handed_over_on: 2027-04-12
responsibilities:
  runs: {before: Ada Byron, after: Grace Hopper}
  fixes: {before: Ada Byron, after: Alan Kay}
  retrains: {before: Ada Byron, after: Alan Kay}
  pays: {before: Sue Sponsor, after: Sue Sponsor}
  decides: {before: Ada Byron, after: Grace Hopper}
open_points: []
""",
    "security-review": """\
version: 0.3.1
areas:
  access: {state: passed, finding: "keys of callers, reviewers and operators, each revoked within seconds"}
  encryption: {state: passed, finding: records and backups hold no clear text}
  secrets: {state: mended, finding: the key of the provider stood in the image; it comes from the vault now}
  audit_trail: {state: passed, finding: each change of a setting is in the hash chain}
  personal_data: {state: passed, finding: tickets are erased after 200 days}
  hostile_input: {state: passed, finding: "oversized bodies get 413, odd text is answered as text"}
  dependencies: {state: accepted, finding: one library has a fault that we do not reach, accepted_by: Sue Sponsor}
  exposure: {state: passed, finding: one port and no rights in the container}
  obligations: {state: not applicable, finding: no rule of the industry covers internal tickets}
reviewed: {by: Lea Lock, email: lea@example.org, day: 2027-03-15}
""",
    "user-guide": """\
does: [proposes a queue for each ticket in English]
does_not: [does not read attachments, is often wrong about refunds]
override_when: [the ticket is urgent whatever the queue]
override_how: pick another queue on the review page
report_to: the button Report on the review page
report_answered: within a working day
helper: {name: Tom Reed, email: tom@example.org}
""",
    "next-iteration": """\
owner: {name: Grace Hopper, email: grace@example.org}
learned: [refunds are 4 % of the tickets and 30 % of the errors]
options:
  - {change: train on the refunds of the spring, evidence: "report of May, refunds", effort: two weeks, chosen: yes}
  - {change: read attachments too, evidence: twelve reports of users, effort: two months, chosen: no}
target: accuracy on refunds from 0.61 to 0.80
decide_by: 2027-09-30
retire_when: [fewer than 20 tickets a day arrive for a month]
""",
}
WORDS = {
    "process-changes": ["Urgent tickets stay with the shift lead, and nobody counts how often a clerk disagrees."],
    "closing": [],
    "playbook": [
        "Roll back when an alert began within an hour of a release. The next item is answered when it worked."
    ],
    "handoff": ["The repository, the dashboards and two days side by side, in which Grace released once."],
    "security-review": [
        "Code, image and compose file were read, and the API was attacked for a day. No backup was seen."
    ],
    "user-guide": [],
    "next-iteration": ["Refunds cost most, and their tickets are at hand; attachments wait."],
}


def text(name: str) -> str:
    """The filled paper: the facts above, and the blank page with words in place of each guidance that needs some."""
    blank = (operations.BLANK / operations.DOCUMENTS[name].file.relative_to("phases")).read_text(encoding="utf-8")
    head, _, page = blank.split("---\n", 2)
    assert head == ""
    words = iter(WORDS[name])
    parts = page.split("\n## ")
    own = operations.DOCUMENTS[name].form().parts
    filled = [
        f"{part.split('<!--')[0]}{next(words)}\n" if own[part.split("\n")[0]].own_words else part for part in parts[1:]
    ]
    assert next(words, None) is None
    return "\n## ".join([f"---\n{FACTS[name]}---\n{parts[0]}", *filled])


def write_short(root: Path, name: str) -> Path:
    """The filled paper in the pilot's folder."""
    file = root / operations.DOCUMENTS[name].file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text(name), encoding="utf-8")
    return file
