"""What the operations on dead letters take and answer, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["open", "retried", "discarded"]


class RetryRequest(BaseModel):
    """Why a letter is retried, for the audit trail."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, min_length=1, max_length=500, pattern=r"\S")


class DiscardRequest(BaseModel):
    """Why a letter shall never run."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class DeadLetter(BaseModel):
    """A message that its queue gave up on."""

    id: int
    queue: str
    actor: str | None = Field(description="What it asked for, as far as that could be read.")
    reason: str = Field(description="Why it died, the beginning.")
    attempts: int
    deaths: int = Field(description="Workers that were lost while they held it.")
    died_at: datetime
    state: State
    decided_by: str | None
    decided_at: datetime | None
    retried_as: str | None = Field(description="The id under which it is on its queue again.")


class DeadLetters(BaseModel):
    """A page of letters, newest first."""

    dead_letters: list[DeadLetter]
    next: int | None = Field(
        description="`before` of the next page; null: this was the last. A page that was searched by"
        " text may have few letters, or none, and go on nevertheless."
    )


class DeadLetterShown(DeadLetter):
    """A letter with what it says."""

    args: str | None = Field(description="Its arguments as JSON, the beginning.")
    trace: str | None = Field(description="Where it failed, the end.")
    pruned_at: datetime | None = Field(description="When what it says went, by retention.")
