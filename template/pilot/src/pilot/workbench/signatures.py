"""Signatures: a name and a date, bound to the text of a document."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from difflib import SequenceMatcher
from pathlib import Path

from pilot.charter import CHARTER, Charter, parse_charter
from pilot.contract import PilotError
from pilot.frontmatter import Issue, midnight, read_text
from pilot.workbench import evidence
from pilot.workbench.documents import charter_rules, operations
from pilot.workbench.documents.model import is_placeholder, named
from pilot.workbench.documents.operations import Signer
from pilot.workbench.evidence import Chain, Entry

OWNER = "owner"
_PERSON = re.compile(r"\s*([^<>@]*[^<>@\s])\s*<([^@\s<>]+@[^@\s<>]+)>\s*")
_MOST_CHANGES = 20


def signer(person: str) -> tuple[str, str]:
    """The name and the address of somebody who is written `Name <mail>`. Raises PilotError where it is not so."""
    found = _PERSON.fullmatch(person)
    if not found:
        raise PilotError(f"{person!r} is not a person with an address. Write it as 'Ada Byron <ada@example.org>'.")
    return found[1], found[2]


def sign(root: Path, paper: str, person: str, role: str, today: date) -> Path:
    """Signs the document in its present state for `person`, written `Name <mail>`, and returns the file of evidence.

    `paper` is `charter`, the name of a short paper or a file below `phases/`. A charter must hold and a short paper be
    complete; whom they name for a role signs in it, such as the charter's owner as `owner`. A signature replaces the
    one before of the same role. Raises PilotError with what prevents the signature.
    """
    file = _paper(root, paper)
    name, mail = signer(person)
    role = role.strip().lower()
    if not re.fullmatch(r"[a-z][a-z0-9_ -]*", role):
        raise PilotError(f"{role!r} is not a role. Use a word, such as owner, sponsor or security.")
    text = read_text(root / file) or ""
    short = operations.name_of(file)
    if file == CHARTER:
        _may_sign_charter(root, name, mail, role, today)
    elif short:
        role = _may_sign_short(root, short, name, mail, role, today)
    elif is_placeholder(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL), 3):
        raise PilotError(f"{file}: is empty, or holds a placeholder. Fill it before anybody signs it.")
    facts = {"paper": file.as_posix(), "name": name, "email": mail, "role": role}
    word = re.sub(r"\W+", "-", f"signature-{file.stem}-{role}").strip("-")
    content = {**facts, "at": _moment(today).isoformat(), "sha256": evidence.digest(text), "text": text}
    return evidence.append(root, "signature", word, today, content)


def _moment(today: date) -> datetime:
    """The present moment in UTC, where `today` is the day of this machine; else the beginning of that day."""
    now = datetime.now(UTC)
    return now if today == date.today() else midnight(today)


def signed_at(entry: Entry) -> datetime:
    """The moment of a signature; of one from before 0.5, which has none, the beginning of its day."""
    at = entry.facts.get("at")
    return datetime.fromisoformat(at) if at else midnight(entry.date)


def latest(chain: Chain) -> dict[tuple[str, str], Entry]:
    """The signature in force of each document and role."""
    return {(entry.facts["paper"], entry.facts["role"]): entry for entry in chain.entries if entry.kind == "signature"}


def of_owner(chain: Chain) -> list[Entry]:
    """The signatures of the owner below the charter, oldest first."""
    signed = [entry for entry in chain.entries if entry.kind == "signature"]
    return [entry for entry in signed if (entry.facts["paper"], entry.facts["role"]) == (CHARTER.as_posix(), OWNER)]


def signed_charter(chain: Chain) -> Charter | None:
    """The facts of the charter as its owner signed it last, whatever the file says since."""
    signed = of_owner(chain)
    return parse_charter(signed[-1].facts["text"]) if signed else None


def begun(root: Path, chain: Chain, today: date) -> date:
    """The day on which the pilot's weeks begin: that of gate 1's evidence, else of the owner's signature where the
    charter is as it was signed, else `today`."""
    passed = chain.passed(1)
    if passed:
        return date.fromisoformat(passed.facts["begun"])
    signed = of_owner(chain)
    return signed[-1].date if signed and not changes(root, signed[-1]) else today


def changes(root: Path, signed: Entry) -> list[Issue]:
    """Each place where a document is not as it was signed; empty where it is."""
    file = signed.facts["paper"]
    text = read_text(root / file)
    by = f"{signed.facts['name']} signed it on {signed.date} as {signed.facts['role']}"
    fix = f"Put it back, or have it signed again: {command(file, signed.facts['role'], signed.facts)}"
    if text is None:
        return [Issue(file, None, f"is gone, and {by}.", fix, "papers-unchanged")]
    if evidence.digest(text) == signed.facts["sha256"]:
        return []
    before, now = (part.replace("\r\n", "\n").split("\n") for part in (signed.facts["text"], text))
    blocks = [
        block for block in SequenceMatcher(None, before, now, autojunk=False).get_opcodes() if block[0] != "equal"
    ]
    return [
        Issue(file, low + 1, f"{_said(before[a:b])} is now {_said(now[low:high])}; {by}.", fix, "papers-unchanged")
        for _, a, b, low, high in blocks[:_MOST_CHANGES]
    ]


def of_charter(root: Path, facts: Charter, chain: Chain) -> list[Issue]:
    """What keeps the charter from counting as signed by its owner."""
    return _in_role(root, chain, "charter-signed", CHARTER, OWNER, (facts.owner.name, facts.owner.email))


def of_document(root: Path, name: str, chain: Chain) -> list[Issue]:
    """What keeps an operations document, such as `handoff`, from counting as signed by each person that it or the
    charter names for a role. Raises PilotError where it is missing or cannot be read."""
    paper = operations.read(root, name)
    return [
        problem
        for role, person in paper.signers.items()
        for problem in _in_role(root, chain, f"{name}-signed", paper.document.file, role, person)
    ]


def command(paper: str, role: str, who: dict[str, str | None]) -> str:
    """How somebody signs a document."""
    short = operations.name_of(Path(paper))
    word = "charter" if paper == CHARTER.as_posix() else short or paper
    return f'pilot sign {word} --as "{who.get("name") or "NAME"} <{who.get("email") or "MAIL"}>" --role "{role}"'


def _in_role(root: Path, chain: Chain, id: str, paper: Path, role: str, person: Signer) -> list[Issue]:
    """What keeps `paper` from counting as signed in `role` by `person`."""
    file = paper.as_posix()
    signed = latest(chain).get((file, role))
    said = role.replace("_", " ")
    fix = f"Have the {said} sign: {command(file, role, {'name': person[0], 'email': person[1]})}"
    if signed is None:
        return [Issue(file, None, f"is not signed by its {said}.", fix, id)]
    if (signed.facts["name"], signed.facts["email"]) != person:
        what = f"was signed as {said} by {signed.facts['name']} <{signed.facts['email']}>, who is not the {said}."
        return [Issue(file, None, what, fix, id)]
    return [Issue(file, place.line, place.what, place.fix, id) for place in changes(root, signed)]


def _paper(root: Path, paper: str) -> Path:
    if paper == "charter":
        return CHARTER
    if paper in operations.DOCUMENTS:
        return operations.DOCUMENTS[paper].file
    for base in (Path.cwd(), root):
        file = (base / paper).resolve()
        if file.is_file() and file.is_relative_to(root.resolve()):
            found = Path(named(root.resolve(), file))
            if found.parts[0] == "phases" and not found.is_relative_to(evidence.EVIDENCE):
                return found
    words = ", ".join(("charter", *operations.DOCUMENTS))
    raise PilotError(f"There is no document {paper!r} below phases/. Name a file there, or one of: {words}.")


def _may_sign_charter(root: Path, name: str, mail: str, role: str, today: date) -> None:
    paper = charter_rules.read(root)
    owner = paper.facts.owner
    if role == OWNER and (name, mail) != (owner.name, owner.email):
        raise PilotError(
            f"The charter names {owner.name or 'nobody'} <{owner.email or ''}> as its owner, not {name} <{mail}>. "
            "Fix the charter, or sign in another role."
        )
    wrong = charter_rules.issues(paper, begun(root, evidence.read(root), today))
    if wrong:
        raise PilotError("The charter does not hold yet:\n  " + "\n  ".join(map(str, wrong)))


def _may_sign_short(root: Path, short: str, name: str, mail: str, role: str, today: date) -> str:
    """The role in which `name` signs a short paper. Raises PilotError where the paper is not complete, or names another
    person for the role."""
    wrong = operations.issues(root, short, today)
    if wrong:
        raise PilotError(f"{operations.DOCUMENTS[short].file} is not complete yet:\n  " + "\n  ".join(map(str, wrong)))
    found = operations.read(root, short)
    signers = found.signers
    # So that "receiving owner" is no other role than receiving_owner.
    role = next((known for known in signers if re.sub(r"[ _-]+", "_", role) == known), role)
    named = signers.get(role, (name, mail))
    if named != (name, mail):
        raise PilotError(
            f"The documents name {named[0] or 'nobody'} <{named[1] or ''}> as the {role} who signs "
            f"{found.document.file}, not {name} <{mail}>. Fix them, or sign in another role."
        )
    return role


def _said(lines: list[str]) -> str:
    text = " / ".join(line.strip() for line in lines)
    return f"{text[:100]!r}" if lines else "nothing"
