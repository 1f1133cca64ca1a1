"""Wise's webhook signature: RSA with SHA-256 (PKCS #1 v1.5) over the whole body, in base64.

It has no time in it: a body that is sent again is good again. That does no harm, for a notice is only a
hint, and what it is about is asked for at Wise.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: Longest header that is read: base64 of a signature under a key of 8192 bits.
SIGNATURE_MAX: Final = 1_500
_KEYS_KEPT: Final = 256


class NoPublicKey(ValueError):
    """A text is no RSA public key in PEM."""


@lru_cache(maxsize=_KEYS_KEPT)
def load(pem: str) -> rsa.RSAPublicKey:
    """The key that a PEM text holds. Raises NoPublicKey."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, TypeError):
        raise NoPublicKey("it is no public key in PEM") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise NoPublicKey("it is no RSA key")
    return key


def flaw(header: str, body: bytes, public_key: str) -> tuple[str, str] | None:
    """What is wrong with a signature: a code and a sentence; None if it is good. Raises NoPublicKey."""
    key = load(public_key)
    try:
        signature = base64.b64decode(header[: SIGNATURE_MAX + 1], validate=True)
    except (ValueError, binascii.Error):
        signature = b""
    if not signature or len(header) > SIGNATURE_MAX:
        return "malformed_signature", "X-Signature-SHA256 must be a signature in base64."
    try:
        key.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return (
            "wrong_signature",
            "The body was not signed with the key that is known as Wise's: is it the one of this"
            " environment?",
        )
    return None
