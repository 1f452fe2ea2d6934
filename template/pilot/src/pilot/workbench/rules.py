"""What each gate asks, as data: read here what a pilot must show, and what mends it.

`evidence` is what a check can see for itself. An `attestation` is what only a person can say, with the name.
`needs` are the rules that must hold before this one can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PHASES = {1: "scope", 2: "build", 3: "decide", 4: "harden", 5: "live"}
_CANDIDATES, _CHARTER, _EVIDENCE = "phases/1-scope/candidates.csv", "phases/1-scope/charter.md", "phases/evidence"
_BASELINE = "phases/2-build/baseline.csv"
_INTERVIEWS, _COSTS, _GAPS = "phases/3-decide/interviews", "phases/3-decide/costs.toml", "phases/3-decide/gaps.csv"
# What is recorded, rather than a paper.
DATABASE = "database"


@dataclass(frozen=True)
class Rule:
    """One item of a gate. `source` is the paper, the folder or the database that it looks at, `mend` what makes it
    hold."""

    id: str
    gate: int
    question: str
    by: Literal["evidence", "attestation"]
    source: str
    mend: str
    needs: tuple[str, ...] = ()


def _candidates(id: str, question: str, mend: str, *needs: str) -> Rule:
    return Rule(id, 1, question, "evidence", _CANDIDATES, f"{mend} `pilot candidates` shows the ranking.", needs)


def _charter(id: str, question: str, mend: str, attested: bool = False, needs: str = "charter-readable") -> Rule:
    return Rule(id, 1, question, "attestation" if attested else "evidence", _CHARTER, mend, (needs,))


def _records(id: str, question: str, mend: str, *needs: str) -> Rule:
    return Rule(id, 2, question, "evidence", DATABASE, mend, needs)


RULES: tuple[Rule, ...] = (
    _candidates(
        "candidates-scored",
        "Are two or more problems scored on impact, feasibility and readiness, with evidence?",
        "Fill the table with the people who do the work.",
    ),
    _candidates("candidates-selected", "Is exactly one selected?", "Select one.", "candidates-scored"),
    _candidates(
        "candidates-override",
        "Does the selected one rank first without a 1, or say why it was picked all the same?",
        "Select another, or write the reason in `override`.",
        "candidates-selected",
    ),
    Rule(
        "charter-readable",
        1,
        "Can the charter be read?",
        "evidence",
        _CHARTER,
        "Mend the front matter; `pilot charter` names the line.",
    ),
    _charter("charter-owner", "Is the owner one person?", "Name one person with an address of their own."),
    _charter(
        "charter-authority",
        "Does the owner have authority over the technical and the operational side?",
        "Give the owner both, and write `yes`.",
        attested=True,
    ),
    _charter("charter-receiver", "Is it named who runs it after a go?", "Name one person other than the owner."),
    _charter("charter-budget", "Is it stated what pays for production?", "Fill budget."),
    _charter(
        "charter-target",
        "Is the target a metric with unit, direction and number?",
        "Fill metric, unit, direction and target.",
    ),
    _charter(
        "charter-measurement",
        "Is it said of which items, from where, when and on how many judged ones the target is measured?",
        "Fill population, data_source, window and judged_items.",
    ),
    _charter("charter-weeks", "Does the pilot take 4 to 8 weeks?", "Set weeks."),
    _charter(
        "charter-decision-date",
        "Is the decision 0 to 14 days after the pilot's end, counted from the signature?",
        "Set decision_by.",
    ),
    _charter("charter-risks", "Are the risks named?", "Fill risks with sentences."),
    _charter("charter-kill-criteria", "Is it said what ends the pilot early?", "Fill kill_criteria with sentences."),
    _charter(
        "charter-alternatives",
        "Is it said what could solve the problem without AI, and why it is not enough?",
        "Fill alternatives.",
    ),
    _charter("charter-build-or-buy", "Is it answered whether to build or to buy?", "Fill build_or_buy."),
    _charter(
        "charter-risk-questions",
        "Are the questions about what is at stake answered?",
        "Answer people_affected, regulated, personal_data, automated_decision and use.",
        attested=True,
    ),
    _charter(
        "charter-use",
        "Is the use neither prohibited nor of high risk?",
        "Choose another problem.",
        attested=True,
        needs="charter-risk-questions",
    ),
    _charter(
        "charter-safeguards",
        "Where people are affected: oversight, an impact note, and records kept long enough?",
        "Fill oversight, log_days and impact_note.",
        attested=True,
        needs="charter-risk-questions",
    ),
    _charter("charter-sections", "Does each section of the page say something?", "Fill the section."),
    _charter("charter-page", "Does it fit on one page?", "Cut it."),
    _charter(
        "charter-agreement",
        "Does the prose name the facts instead of repeating them?",
        "Put the name of the fact in braces, such as {target}.",
    ),
    Rule(
        "charter-signed",
        1,
        "Did the owner sign the charter as it stands?",
        "attestation",
        _EVIDENCE,
        "Have the owner sign it with `pilot sign charter`.",
        ("charter-readable",),
    ),
    Rule(
        "evidence-intact",
        1,
        "Is the evidence as it was written?",
        "evidence",
        _EVIDENCE,
        "Bring the files back from git.",
    ),
    Rule("gate-1-passed", 2, "Has gate 1 passed?", "evidence", _EVIDENCE, "Pass it: `pilot gate 1`."),
    Rule(
        "baseline-frozen",
        2,
        "Is today's process measured and frozen?",
        "evidence",
        _BASELINE,
        "Import measurements with `pilot baseline import FILE`, then `pilot baseline freeze`.",
    ),
    Rule(
        "baseline-before-ai",
        2,
        "Was it measured before the AI first answered a live item?",
        "evidence",
        _BASELINE,
        "Keep only rows of before that day, and freeze again.",
        ("baseline-frozen", "records-readable"),
    ),
    _records(
        "records-readable",
        "Can the records be read, and do they count?",
        "Start the database, or name the pilot's own in PILOT_DATABASE_URL.",
    ),
    _records(
        "live-items",
        "Are as many live items recorded as the charter plans to have judged?",
        "Send real items with a live key, or `pilot ingest FILE`.",
        "records-readable",
    ),
    _records(
        "records-complete",
        "Is the record of each live item complete: response, the AI's answer, that of today's rules?",
        "Start the service, which takes up again what is pending.",
        "records-readable",
    ),
    _records(
        "outcomes-coming-in",
        "Do people's decisions come in, for enough of the items that wait for one, and lately?",
        "Have people decide what waits on the page /review.",
        "records-readable",
    ),
    Rule(
        "gate-2-passed",
        3,
        "Is the AI measured on real work, beside today's process (gate 2)?",
        "evidence",
        _EVIDENCE,
        "Pass it: `pilot gate 2`.",
    ),
    Rule(
        "evaluated",
        3,
        "Is there a verdict on the target, by the records of real work?",
        "evidence",
        DATABASE,
        "`pilot evaluate` says what is missing; the verdict comes on the day of the decision.",
    ),
    Rule(
        "interviews-held",
        3,
        "Did enough users say whether it helped, what went wrong, and whether they would use it again?",
        "evidence",
        _INTERVIEWS,
        "Talk to users, and add each conversation with `pilot interview add`.",
    ),
    Rule(
        "costs-projected",
        3,
        "Is it known what a month of production costs and brings?",
        "evidence",
        _COSTS,
        "Fill the ranges; `pilot costs` shows what follows from them.",
    ),
    Rule(
        "gaps-listed",
        3,
        "Is it known what production still lacks, with effort and owner?",
        "evidence",
        _GAPS,
        "Fill the table; `pilot gaps` adds what the checks find by themselves.",
    ),
    Rule(
        "decision-made",
        3,
        "Is it decided, go or no-go, with reasons?",
        "evidence",
        _EVIDENCE,
        'Decide: `pilot decide go --because "..."`, or no-go.',
    ),
    Rule(
        "decision-in-time",
        3,
        "Was it decided by the day that the charter names, or to which one extension moved it?",
        "evidence",
        _EVIDENCE,
        "That cannot be mended; the record says why it took longer.",
        ("decision-made",),
    ),
    Rule(
        "decision-shared",
        3,
        "Do those whom it concerns know of it?",
        "attestation",
        _EVIDENCE,
        "Have somebody else than the owner sign the record, or name whom you told: --shared-with.",
        ("decision-made",),
    ),
    Rule(
        "decision-go",
        3,
        "Is it a go?",
        "evidence",
        _EVIDENCE,
        "A no-go ends the pilot: `pilot close`. A reversal is a new decision.",
        ("decision-made",),
    ),
)
