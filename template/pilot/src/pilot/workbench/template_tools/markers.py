"""What a conflict leaves in files: lines that mark both sides, and rejected hunks."""

from __future__ import annotations

from pathlib import Path

from pilot.workbench.template_tools.origin import git

# git writes seven of each, and a label behind a blank. The middle line, =======, also underlines headings.
MARKERS = r"^(<{7}|>{7}|\|{7})([[:space:]]|$)"
# All but what the team has said is in order as it is, as in ci/files.sh.
LOOKED_AT = ":(attr:!ci-keep)."


def look(root: Path, everything: bool = False) -> list[str]:
    """The lines with conflict markers and the files of rejected hunks below `root`, as `file:line: text`.

    Looks at what git tracks, and with `everything` also at files that are new; rejected hunks count there even where
    git ignores them. Files that an attribute calls binary count too: Copier writes its markers there all the same.
    Raises PilotError outside of a git repository.
    """
    others = ["--untracked"] if everything else []
    # Exit code 1 says that nothing was found.
    quoted = ("-c", "core.quotepath=off")
    lines = git(root, *quoted, "grep", "-naE", "--no-color", *others, "-e", MARKERS, "--", LOOKED_AT, accept=(0, 1))
    listed = ["--cached", *(["--others"] if everything else [])]
    rejected = git(root, *quoted, "ls-files", *listed, "--", "*.rej").splitlines()
    found = [line.replace(":", ": ", 2).replace(": ", ":", 1) for line in lines.splitlines()]
    return [*found, *(f"{path}: hunks of a patch that were rejected" for path in sorted({*rejected}))]
