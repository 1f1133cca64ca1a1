"""What can go wrong with supervised processes, one class per condition."""

from __future__ import annotations

from pathlib import Path


class SupervisorError(Exception):
    """Base of every error of the supervisor."""


class CannotStart(SupervisorError):
    """The program of a process does not exist or may not be run."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"The process {name} cannot be started ({reason}): check its command.")


class UnknownProcess(SupervisorError):
    """No process has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        super().__init__(f"There is no process {name}; there are: {', '.join(known) or 'none'}.")


class NotReady(SupervisorError):
    """A process was not ready in time, or ended for good before it was."""

    def __init__(self, name: str, reason: str, log: Path, tail: str) -> None:
        self.name = name
        self.reason = reason
        self.log = log
        self.tail = tail
        super().__init__(
            f"{name} {reason}; read {log}, whose last lines are:\n{tail or '(the log is empty)'}"
        )


class StopRequested(SupervisorError):
    """Somebody asked to stop (Ctrl-C, SIGTERM) while processes were being waited for."""

    def __init__(self) -> None:
        super().__init__("Stopped before every process was ready, as asked.")
