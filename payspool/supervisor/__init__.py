"""Child processes kept alive: started, watched, restarted with patience, stopped in order."""

from payspool.supervisor.errors import (
    CannotStart,
    NotReady,
    StopRequested,
    SupervisorError,
    UnknownProcess,
)
from payspool.supervisor.spec import (
    ProcessSpec,
    ProcessStatus,
    RestartPolicy,
    file_exists,
    port_answers,
)
from payspool.supervisor.supervisor import Supervisor

__all__ = [
    "CannotStart",
    "NotReady",
    "ProcessSpec",
    "ProcessStatus",
    "RestartPolicy",
    "StopRequested",
    "Supervisor",
    "SupervisorError",
    "UnknownProcess",
    "file_exists",
    "port_answers",
]
