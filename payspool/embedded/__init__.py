"""The servers in the box: PostgreSQL and Valkey from installed wheels, started and stopped by us."""

from payspool.embedded.box import Embedded
from payspool.embedded.errors import AlreadyRunning, EmbeddedError
from payspool.embedded.folders import default_data_dir, scratch_data_dir
from payspool.embedded.guarding import Guard, Rank, charge_for
from payspool.embedded.instance import Endpoints, read_running

__all__ = [
    "AlreadyRunning",
    "Embedded",
    "EmbeddedError",
    "Endpoints",
    "Guard",
    "Rank",
    "charge_for",
    "default_data_dir",
    "read_running",
    "scratch_data_dir",
]
