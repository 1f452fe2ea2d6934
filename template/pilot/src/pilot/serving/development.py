"""`pilot secrets init`: secrets for development, as files that compose mounts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet

# The user of the image. Files of a root user are given to it; anybody else runs the container as himself.
IMAGE_USER = 10001


def make(root: Path) -> Iterator[str]:
    """Makes what is missing below `root` and tells of each file; what is there stays."""
    folder = root / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    user = IMAGE_USER if os.getuid() == 0 else os.getuid()
    if os.getuid() == 0:
        os.chown(folder, user, user)
    for name, value in (("database_password", secrets.token_urlsafe(32)), ("data_key", Fernet.generate_key().decode())):
        file = folder / name
        if file.exists():
            yield f"{file.relative_to(root)} is there already"
            continue
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(value)
        if os.getuid() == 0:
            os.chown(file, user, user)
        yield f"made {file.relative_to(root)}"
    environment = root / ".env"
    lines = environment.read_text(encoding="utf-8").splitlines() if environment.exists() else []
    if not any(line.startswith("PILOT_UID=") for line in lines):
        environment.write_text("\n".join([*lines, f"PILOT_UID={user}"]) + "\n", encoding="utf-8")
        yield f"set PILOT_UID={user} in .env"
