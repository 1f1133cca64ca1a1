"""Secrets at rest: Fernet under rotating keys. The first key encrypts; every key decrypts."""

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from domain.errors import DomainError


class CannotDecrypt(DomainError):
    """A stored secret was written under a key that is not configured."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"The stored {what} cannot be decrypted. Add the key that it was written under to PAYSPOOL_SECRET_KEYS"
            " (newest first)."
        )


class SecretBox:
    """Encrypts and decrypts with ``keys``: URL-safe base64 of 32 bytes each, newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._print_key = hmac.digest(keys[0].encode(), b"payspool fingerprint", hashlib.sha256)

    def encrypt(self, secret: str) -> bytes:
        """A token that only these keys open."""
        return self._fernet.encrypt(secret.encode())

    def fingerprint(self, secret: str) -> bytes:
        """HMAC-SHA256 under a key made from the newest one: equal secrets are seen to be, until a reseal
        makes their fingerprints again."""
        return hmac.digest(self._print_key, secret.encode(), hashlib.sha256)

    def renew(self, token: bytes, what: str) -> bytes:
        """The same secret under the newest key. Raises CannotDecrypt, naming ``what`` it was."""
        try:
            return self._fernet.rotate(bytes(token))
        except InvalidToken:
            raise CannotDecrypt(what) from None

    def decrypt(self, token: bytes, what: str) -> str:
        """The plain text of ``token``. Raises CannotDecrypt, naming ``what`` it was."""
        try:
            return self._fernet.decrypt(bytes(token)).decode()
        except InvalidToken:
            raise CannotDecrypt(what) from None


def new_key() -> str:
    """A fresh key for PAYSPOOL_SECRET_KEYS."""
    return Fernet.generate_key().decode()
