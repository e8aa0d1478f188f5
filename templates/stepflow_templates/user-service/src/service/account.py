"""What an account is: the rules for addresses, names, passwords and roles. Pure: no I/O."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

ADDRESS = re.compile(
    r"[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@(?:[^@\s\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+\.)+[^@\s.\x00-\x40]{2,63}"
)
LONGEST_ADDRESS = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets
PASSWORD = (8, 128)  # characters; NIST SP 800-63B-4 §3.1.1.2 wants at least 8
COMMON = frozenset(
    {
        *(
            "password",
            "passw0rd",
            "password1",
            "12345678",
            "123456789",
            "1234567890",
            "11111111",
            "00000000",
            "88888888",
        ),
        *(
            "qwertyui",
            "qwertyuiop",
            "qwerty12",
            "qwerty123",
            "1q2w3e4r",
            "1qaz2wsx",
            "iloveyou",
            "sunshine",
            "princess",
        ),
        *("football", "baseball", "superman", "trustno1"),
    }
)
USER, ADMIN = "user", "admin"
ROLES = (USER, ADMIN)


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account as it is stored, without the password."""

    id: UUID
    email: str
    name: str
    roles: tuple[str, ...]
    version: int
    created_at: datetime
    updated_at: datetime
    test: bool = False  # of a check: it counts nowhere

    @property
    def is_admin(self) -> bool:
        """Return whether this is an administrator."""
        return ADMIN in self.roles


def checked_address(text: str) -> str:
    """Normalise an e-mail address (NFC, trimmed); raises `ValueError` for anything else."""
    address = unicodedata.normalize("NFC", text.strip())
    if len(address) > LONGEST_ADDRESS or not ADDRESS.fullmatch(address):
        raise ValueError("not an e-mail address")
    return address


def address_key(address: str) -> str:
    """Return the form in which addresses are compared: case and compatibility forms of characters do not matter."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", address).casefold())


def checked_name(text: str) -> str:
    """Normalise a name; raises `ValueError` when nothing is left or it holds control characters."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError("a name needs visible characters, and no control characters")
    return name


def checked_password(text: str) -> str:
    """Reject a password that is guessed first; raises `ValueError`."""
    least, most = PASSWORD
    if not least <= len(text) <= most:
        raise ValueError(f"a password has {least} to {most} characters")
    if text.casefold() in COMMON or len(set(text)) < 3:  # noqa: PLR2004 - `abababab` is as guessable
        raise ValueError("this password is one of the first that are guessed")
    return text
