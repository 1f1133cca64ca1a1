"""The user whom the servers run as: ourselves, or `nobody` when Payspool was started as root."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from payspool.embedded.errors import NamelessUser, NoServerAccount, UnreachableForNobody

SERVER_USER = "nobody"
# What the kernel says to a root that may not become, or does not know, another user: a container
# without the capability, a user namespace without the number.
REFUSED = (errno.EPERM, errno.EINVAL)


@dataclass(frozen=True)
class Account:
    """Who the servers run as. `switched` if that is somebody else than ourselves."""

    uid: int
    gid: int
    switched: bool

    def hand_over(self, path: Path) -> None:
        """Give a folder that we have just made to the servers' user. Raises NoServerAccount."""
        if self.switched:
            self._chown(path, self.uid)

    def share_for_reading(self, path: Path, mode: int) -> None:
        """Let the servers' user read, and only read, a file or folder of ours.

        Raises NoServerAccount.
        """
        if self.switched:
            self._chown(path, -1)
            path.chmod(mode | ((mode & 0o500) >> 3))
        else:
            path.chmod(mode)

    def _chown(self, path: Path, uid: int) -> None:
        try:
            os.chown(path, uid, self.gid, follow_symlinks=False)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            raise NoServerAccount(error.strerror or str(error)) from error


def server_account() -> Account:
    """Ourselves, or `nobody` for root: PostgreSQL refuses to run as root.

    Raises NoServerAccount if there is no `nobody`.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switched=False)
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        raise NoServerAccount(f"there is no user {SERVER_USER}") from None
    return Account(entry.pw_uid, entry.pw_gid, switched=True)


def require_name(account: Account) -> None:
    """`initdb` looks its user up by number and fails on one without a name. Raises NamelessUser."""
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        raise NamelessUser(account.uid) from None


def require_reachable(data_dir: Path, account: Account) -> None:
    """The servers' user must be able to enter every folder above the data.

    We change no folder that is not ours, so this can only be reported. Raises UnreachableForNobody.
    """
    if not account.switched:
        return
    resolved = data_dir.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        status = folder.stat()
        if status.st_uid == account.uid:
            open_to_us = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            open_to_us = status.st_mode & stat.S_IXGRP
        else:
            open_to_us = status.st_mode & stat.S_IXOTH
        if not open_to_us:
            raise UnreachableForNobody(data_dir, folder)
