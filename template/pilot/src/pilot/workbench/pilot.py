"""The pilot as one command sees it: its documents, its evidence and its records, each read at most once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pilot.charter import CHARTER, Charter, read_charter
from pilot.contract import PilotError
from pilot.frontmatter import Document, Issue
from pilot.workbench import evidence, signatures, statistics
from pilot.workbench.documents import baseline, candidates, charter_rules, interviews
from pilot.workbench.evidence import Chain, Entry

# `pilot check` reads the checkout alone: neither the database nor the statistics are loaded for it.
if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pilot.records.crypto import Contents
    from pilot.records.queries import Live
    from pilot.workbench.documents.costs import Costed
    from pilot.workbench.documents.gaps import Gaps
    from pilot.workbench.results import Results


@dataclass(frozen=True)
class Watched:
    """What Prometheus saw of the service in 28 days: of each alert that fired its summary, when it did so last, for how
    many minutes, and whether it does now; how many requests came, and how many of them failed."""

    alerts: tuple[tuple[str, datetime, int, bool], ...]
    requests: float
    failed: float


class Pilot:
    """The pilot in `root` on the day `today`. Make another one after anything was written.

    `records` is the engine of its database, or why it cannot be used, or None where the records are not asked for;
    `contents` is what reads the contents of the records, where figures by field are asked for.
    Properties that read a document raise PilotError where it cannot be read, unless they say otherwise.
    """

    def __init__(
        self, root: Path, today: date, records: Engine | str | None = None, contents: Contents | None = None
    ) -> None:
        self.root, self.today, self.contents = root, today, contents
        self.engine = None if isinstance(records, str) else records
        self._no_records = records if isinstance(records, str) else None

    @cached_property
    def chain(self) -> Chain:
        """The evidence."""
        return evidence.read(self.root)

    @cached_property
    def signatures(self) -> dict[tuple[str, str], Entry]:
        """The signature in force of each document and role."""
        return signatures.latest(self.chain)

    @cached_property
    def signed(self) -> Charter | None:
        """The charter as its owner signed it last; None before."""
        return signatures.signed_charter(self.chain)

    @cached_property
    def charter_document(self) -> Document[Charter]:
        """The charter as it is in the checkout, with the lines of its facts."""
        return charter_rules.read(self.root)

    @cached_property
    def charter(self) -> Charter:
        """The charter that counts: as it was signed, else as it is in the checkout, else an empty one."""
        return self.signed or read_charter(self.root) or Charter()

    @property
    def terms(self) -> Charter:
        """The charter as it was signed, for what it demands; its defaults before that."""
        return self.signed or Charter()

    @cached_property
    def charter_changes(self) -> list[Issue]:
        """Where the charter is not as its owner signed it."""
        signed = self.signatures.get((CHARTER.as_posix(), signatures.OWNER))
        return signatures.changes(self.root, signed) if signed else []

    @cached_property
    def begun(self) -> date:
        """The day from which the pilot's weeks count."""
        return signatures.begun(self.root, self.chain, self.today)

    @cached_property
    def charter_issues(self) -> list[Issue]:
        """What keeps the charter of the checkout from holding, each with its rule."""
        found = charter_rules.issues(self.charter_document, self.begun)
        if self.contents is not None:
            found += charter_rules.unknown_fields(self.charter_document, self.contents.prediction)
        return found

    @cached_property
    def candidates(self) -> candidates.Candidates:
        """The candidate problems, with what is wrong with them."""
        return candidates.read(self.root)

    @cached_property
    def measurements(self) -> list[baseline.Measurement]:
        """What was measured before the AI."""
        return baseline.read_all(self.root)

    @cached_property
    def frozen(self) -> baseline.Frozen | None:
        """The baseline as it was frozen last; None where it never was, or that evidence was altered."""
        return baseline.frozen(self.root, self.chain)

    @cached_property
    def baseline_changes(self) -> list[Issue]:
        """What differs from the frozen baseline. Raises nothing: a baseline that cannot be read has changed."""
        return baseline.changes(self.frozen, lambda: self.measurements)

    @cached_property
    def baseline_values(self) -> dict[str, list[float]]:
        """The measured values by metric, where the baseline is frozen and unchanged; else nothing."""
        return {} if self.frozen is None or self.baseline_changes else baseline.by_metric(self.measurements)

    @cached_property
    def interviews(self) -> interviews.Interviews:
        """The conversations with users. Raises nothing: one that cannot be read does not count."""
        return interviews.read(self.root, self.today)

    @cached_property
    def live(self) -> Live | str | None:
        """What is live in the records; why that is not known; or None where nobody asked."""
        if self.engine is None:
            return self._no_records
        from pilot.records.queries import live

        with self.engine.connect() as connection:
            return live(connection)

    @cached_property
    def results(self) -> Results | str:
        """The results as of today, or why there are none."""
        if self.engine is None:
            return self._no_records or "The records were not looked at."
        try:
            with statistics(), self.engine.connect() as connection:
                from pilot.workbench.results import results

                return results(self, connection)
        except PilotError as error:
            return str(error)

    @cached_property
    def costs(self) -> Costed:
        """A month of production, with what the records know where they are at hand."""
        with statistics():
            from pilot.workbench import decision, spending
            from pilot.workbench.documents import costs

            measured = {}
            if self.engine is not None:
                with self.engine.connect() as connection:
                    measured = spending.measured_live(connection, self.today, decision.due(self.chain))
            return costs.projection(self.root, self.charter, self.baseline_values.get("cost_per_item", []), measured)

    @cached_property
    def gaps(self) -> Gaps:
        """What is missing for production: the rows of the table, joined with what the checks find."""
        from pilot.workbench.gap_checks import gaps

        return gaps(self)
