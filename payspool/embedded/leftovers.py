"""What a killed supervisor and a killed guard left running: stopped if it is provably ours."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import psutil

from payspool.embedded.folders import Places
from payspool.embedded.guard import Charge, is_same, stop_in_order
from payspool.embedded.guarding import Rank

logger = logging.getLogger(__name__)


def stop_leftovers(places: Places) -> list[Charge]:
    """Stop, in the usual order, what the last instance of this data directory left running.

    A process counts as ours only if its id, its start time and its data directory all match the
    record; anything else is left alone. Returns what was found. The caller holds the instance's
    lock, so no other instance can be using these processes.
    """
    found = [charge for charge in _recorded(places) if is_ours(charge, places)]
    for charge in found:
        logger.warning("stopping %s (%s), left by a killed Payspool", charge.name, charge.pid)
    if found:
        stop_in_order(found, logger.warning)
    return found


def is_ours(charge: Charge, places: Places) -> bool:
    """Whether a recorded process is the one that we started, and works on our data."""
    if not is_same(charge.pid, charge.mark):
        return False
    if charge.rank not in (Rank.VALKEY, Rank.POSTGRES):
        return True
    # Both servers make their data folder their working directory (initdb does not, and works only
    # on a folder that is thrown away).
    if charge.name == "initdb":
        return True
    folder = working_directory(charge.pid)
    return folder is not None and folder == _resolved(places.server_data(charge.name))


def working_directory(pid: int) -> Path | None:
    """The working directory of a process, or None if it may not be looked at or is gone."""
    try:
        return Path(psutil.Process(pid).cwd())
    except (psutil.Error, OSError):
        return None


def _resolved(path: Path) -> Path:
    return path.resolve()


def _recorded(places: Places) -> list[Charge]:
    try:
        content = json.loads(places.processes.read_text())
        # A data directory that was copied while in use names the processes of the original.
        if content["data_dir"] != str(places.data_dir):
            return []
        return [Charge.from_json(raw) for raw in content["charges"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
