"""The short papers: a front matter of facts, a page that names them, and what keeps each from being complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pilot.charter import Charter, read_charter
from pilot.contract import PilotError
from pilot.frontmatter import AsWritten, nearest, parse, read_text, split, yaml_lines
from pilot.workbench.documents import charter, fields, markdown, prose, running, using
from pilot.workbench.documents.fields import Signer
from pilot.workbench.documents.model import Issue
from pilot.workbench.documents.prose import PAGE, Part


@dataclass(frozen=True)
class Short:
    """A kind of short paper: its file, its facts, the sections of its page and how long that may be."""

    file: Path
    facts: type[fields.Facts]
    parts: Mapping[str, Part]
    pages: int = 1

    @property
    def name(self) -> str:
        """What people call it, as in `pilot paper show NAME`."""
        return self.file.stem

    @property
    def rule(self) -> str:
        """The id of the gate's rule that it be complete."""
        return f"{self.name}-complete"

    @property
    def form(self) -> prose.Form:
        """What its page must be."""
        return prose.Form(
            self.file,
            self.parts,
            sections_id=self.rule,
            agreement_id=self.rule,
            page_id=self.rule,
            numbers=True,
            most_words=self.pages * PAGE,
        )


def _told(*names: str, numbers: bool = True) -> Part:
    """A section whose facts say all; people may add words."""
    return Part(names, own_words=False, numbers=numbers)


PAPERS: dict[str, Short] = {
    paper.name: paper
    for paper in (
        Short(
            Path("phases/3-decide/process-changes.md"),
            using.ProcessChanges,
            {
                "What changes": _told("changes", numbers=False),
                "What stays as it is": Part(),
                "Whom to ask": _told("helper"),
            },
        ),
        Short(
            Path("phases/3-decide/closing.md"),
            using.Closing,
            {
                "Who knows of it": _told("users_told"),
                "What is shut down": _told("shut_down", "keys_revoked"),
                "What is kept": _told("records_kept_until", "records_reason", "records_deleted_by", numbers=False),
                "What we learned": _told("lesson"),
                "What comes next": _told("next_candidate"),
            },
        ),
        Short(
            Path("phases/4-harden/playbook.md"),
            running.Playbook,
            {
                "Who answers for it": _told("owner", "cost_owner"),
                "On call": _told("rotation", "rotation_hours", "rotation_told"),
                "Severities": _told("severities", numbers=False),
                "Escalation": _told("escalation", numbers=False),
                "Communications": _told("communications"),
                "Rollback": _told("rollback_command", "rollback_minutes", "rollback_by"),
                "Before and after a rollback": Part(),
                "Restore": _told("rpo_minutes", "rto_minutes", "restore_command", numbers=False),
                "Providers": _told("providers"),
            },
            pages=2,
        ),
        Short(
            Path("phases/4-harden/handoff.md"),
            running.Handoff,
            {
                "Who is responsible": _told("handed_over_on", "responsibilities", numbers=False),
                "What comes with it": Part(),
                "What is still to be done": _told("open_points"),
            },
        ),
        Short(
            Path("phases/4-harden/security-review.md"),
            running.SecurityReview,
            {
                "What was reviewed": Part(),
                "Findings": _told("version", "areas"),
                "The reviewer's word": _told("reviewed"),
            },
            pages=2,
        ),
        Short(
            Path("phases/5-live/user-guide.md"),
            using.UserGuide,
            {
                "What it does": _told("does"),
                "What it does not do": _told("does_not"),
                "When to override it": _told("override_when", "override_how"),
                "How to report a problem": _told("report_to", "report_answered", "helper"),
            },
        ),
        Short(
            Path("phases/5-live/next-iteration.md"),
            using.NextIteration,
            {
                "What production showed": _told("learned"),
                "What could come next": _told("options"),
                "Why this one": Part(),
                "The target": _told("owner", "target", "decide_by", numbers=False),
                "When it ends": _told("retire_when"),
            },
        ),
    )
}
HANDOFF = PAPERS["handoff"].file


@dataclass(frozen=True)
class Paper:
    """A short paper as it stands, beside the charter, whose facts its page may name too."""

    kind: Short
    facts: fields.Facts
    charter: Charter
    fact_lines: list[str]
    prose_lines: list[str]

    @property
    def told(self) -> prose.Facts:
        """The facts that its page may name: its own, and those of the charter whose names it does not use."""
        own = markdown.facts(self.facts)
        return prose.Facts({**charter.in_words(self.charter).words, **own.words}, own.blocks)

    @property
    def page(self) -> str:
        """The page as people read it, with the facts in place."""
        return prose.filled("\n".join(self.prose_lines), self.told).strip()

    @property
    def signers(self) -> dict[str, Signer]:
        """Who signs it in which role, as it or the charter says; other roles are free."""
        return self.facts.signers(self.charter)

    @property
    def attestations(self) -> dict[str, fields.Attestation]:
        """What in it only a person can say, by its place in the facts."""
        return fields.attestations(self.facts)


def of(file: Path) -> Short | None:
    """The short paper that stands in a file, named below the pilot's root; None where it is none."""
    return next((paper for paper in PAPERS.values() if paper.file == file), None)


def known(name: str) -> Short:
    """The short paper of that name. Raises PilotError that lists those there are."""
    if name not in PAPERS:
        raise PilotError(f"There is no short paper {name!r}. Name one of: {', '.join(PAPERS)}.")
    return PAPERS[name]


def read(root: Path, name: str) -> Paper:
    """A short paper of the pilot in `root`. Raises PilotError where it is missing or cannot be read."""
    kind = known(name)
    text = read_text(root / kind.file)
    if text is None:
        raise PilotError(f"{kind.file}: is not there. {_blank(name)}")
    return Paper(kind, parse(kind.facts, text, kind.file, AsWritten), _charter(root), *split(text, kind.file))


def problems(root: Path, name: str, today: date | None = None) -> list[Issue]:
    """All that keeps a short paper of the pilot in `root` from being complete; empty where it is. With `today`, an
    attestation of a later day is a problem too. Raises PilotError for a name that is none."""
    kind = known(name)
    if not (root / kind.file).is_file():
        return [Issue(kind.file.as_posix(), None, "is not there.", _blank(name), kind.rule)]
    try:
        paper = read(root, name)
    except PilotError as error:
        return [Issue(kind.file.as_posix(), None, "cannot be read.", str(error), kind.rule)]
    found = sorted(_of_facts(paper, today), key=lambda problem: problem.line or 0)
    return [*found, *prose.problems(kind.form, paper.prose_lines, len(paper.fact_lines) + 2, paper.told)]


def _blank(name: str) -> str:
    return f"`pilot paper add {name}` brings a blank one."


def _of_facts(paper: Paper, today: date | None) -> Iterator[Issue]:
    lines = yaml_lines(paper.fact_lines)
    gaps = [*fields.gaps(paper.facts), *paper.facts.faults(paper.charter)]
    for place, attested in paper.attestations.items():
        if today and attested.day and attested.day > today:
            gap = fields.Gap(
                (*place.split("."), "day"), f"{attested.day} is not yet.", "Attest it on the day or later."
            )
            gaps.append(gap)
    for gap in gaps:
        where = ".".join(gap.place)
        line = nearest(lines, gap.place)
        yield Issue(paper.kind.file.as_posix(), line, f"{where}: {gap.what}", gap.fix, paper.kind.rule)


def _charter(root: Path) -> Charter:
    """The facts of the charter; none where it is missing or cannot be read, which is its own check's to say."""
    try:
        return read_charter(root) or Charter()
    except PilotError:
        return Charter()
