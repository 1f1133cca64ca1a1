"""Passwords: hashed by argon2id, and how long nobody may guess after wrong ones.

>>> [lock_minutes(n) for n in (1, 4, 5, 6, 20)]
[0, 0, 1, 2, 60]
"""

from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from domain.errors import Invalid

SHORTEST: Final = 12
LONGEST: Final = 200
FREE_FAILURES: Final = 4
"""Wrong passwords in a row that cost nothing; people mistype."""
LONGEST_LOCK_MINUTES: Final = 60

# OWASP's parameters for argon2id with little memory: a sign-in shares the machine with workers.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY: Final = _HASHER.hash("nobody has this password")
"""Checked where there is no hash, so that a name that exists takes no longer than one that does not."""


def hashed(password: str) -> str:
    """The hash to store. Raises Invalid for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid("password", f"takes {SHORTEST} to {LONGEST} characters")
    return _HASHER.hash(password)


def is_right(stored: str | None, given: str) -> bool:
    """Whether ``given`` is the password behind ``stored``; takes its time for None too."""
    try:
        return _HASHER.verify(stored or _NOBODY, given[: LONGEST + 1]) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


def lock_minutes(failures: int) -> int:
    """For how long no password is looked at after so many wrong ones in a row."""
    if failures <= FREE_FAILURES:
        return 0
    return min(1 << min(failures - FREE_FAILURES - 1, 10), LONGEST_LOCK_MINUTES)
