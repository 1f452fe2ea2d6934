"""What keeps contents private: encryption, keyed fingerprints and pseudonyms."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from pilot.contract import Item, PilotError, Prediction


def key_id(key: str) -> str:
    """A short public name for a data key."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class Vault:
    """Seals contents with the first data key and opens what any of them sealed. Without keys contents stay plain.

    Sealed content starts with a byte that no JSON starts with, then the id of its key, so each row is read by itself.
    """

    _MARK = b"\x01"

    def __init__(self, data_keys: tuple[str, ...]) -> None:
        self.renew(data_keys)

    def renew(self, data_keys: tuple[str, ...]) -> None:
        """Takes other data keys from now on."""
        self._fernets = {key_id(key): Fernet(key) for key in data_keys}
        self.key_id = key_id(data_keys[0]) if data_keys else None

    @property
    def mark(self) -> bytes:
        """What contents begin with that the first data key sealed."""
        return self._MARK + (self.key_id or "").encode()

    def seal(self, content: bytes) -> bytes:
        """The content (JSON) as it is stored."""
        by = self.key_id
        if by is None:
            return content
        return self._MARK + by.encode() + self._fernets[by].encrypt(content)

    def open(self, stored: bytes) -> bytes:
        """The content again.

        Raises PilotError when the key that sealed it is not among the data keys, or when it was altered.
        """
        if not stored.startswith(self._MARK):
            return stored
        sealed_by = stored[1:13].decode("ascii", "replace")
        fernet = self._fernets.get(sealed_by)
        if fernet is None:
            raise PilotError(
                f"A record was sealed with data key {sealed_by}, which is not set. Add that key to PILOT_DATA_KEY, "
                "after the newest."
            )
        try:
            return fernet.decrypt(stored[13:])
        except InvalidToken as error:
            raise PilotError(f"A record sealed with data key {sealed_by} was altered and cannot be read.") from error


def keyed_hash(pepper: bytes, content: bytes) -> str:
    """A hash that reveals nothing but which contents are equal: 32 hex digits. `pepper` is the database's secret."""
    return hashlib.blake2b(content, digest_size=16, key=pepper).hexdigest()


@dataclass(frozen=True)
class Contents:
    """What is needed to read the contents of the records: the team's Item and Prediction, and the keys."""

    item: type[Item]
    prediction: type[Prediction]
    vault: Vault
