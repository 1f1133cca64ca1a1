"""One person's e-mail address, however it is written: what tells that a referrer referred themself."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

_DOTLESS: Final = frozenset({"gmail.com", "googlemail.com"})
"""Where dots before the @ mean nothing (Google, "Dots don't matter in Gmail addresses")."""


def normalised_email(address: str) -> str:
    """``address`` in the one form that is compared. Raises ValueError if it is no address.

    >>> normalised_email(" Ada.Lovelace+shop@GoogleMail.com ")
    'adalovelace@gmail.com'
    >>> normalised_email("ada.lovelace+news@example.com")
    'ada.lovelace@example.com'
    """
    local, at, domain = unicodedata.normalize("NFKC", address).strip().lower().rpartition("@")
    local = local.partition("+")[0]
    domain = domain.rstrip(".")
    if domain in _DOTLESS:
        local, domain = local.replace(".", ""), "gmail.com"
    if not (at and local and domain):
        raise ValueError("an e-mail address has something before and after its @")
    return f"{local}@{domain}"


def email_hash(address: str) -> str:
    """SHA-256 of the normalised address, hexadecimal: for `referred_email_hash`. Raises ValueError.

    A hash hides an address from sight; who has a list of addresses can still find it.
    """
    return hashlib.sha256(normalised_email(address).encode()).hexdigest()
