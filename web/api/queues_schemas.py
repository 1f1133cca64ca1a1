"""What the operations on queues take and answer, as models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class PauseRequest(BaseModel):
    """Why a queue is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class Pause(BaseModel):
    """Who paused a queue, when and why."""

    by: str
    at: datetime
    reason: str


class Queue(BaseModel):
    """One queue now, in messages (of up to 100 events)."""

    queue: str
    ready: int = Field(description="Waiting to be taken.")
    in_flight: int = Field(description="Taken and not finished.")
    orphans: int = Field(description="Of these, those whose worker is not heard of.")
    later: int = Field(description="Failed; to be tried again after a pause.")
    dead: int = Field(description="Given up: they wait for a person.")
    oldest_seconds: float | None = Field(description="Age of the first waiting one.")
    paused: Pause | None


class Queues(BaseModel):
    """Every queue."""

    queues: list[Queue]


class CurrentWork(BaseModel):
    """What a thread of a worker is at."""

    queue: str
    actor: str
    messages: int
    seconds: float


class Worker(BaseModel):
    """A worker process as it last said."""

    name: str
    host: str
    pid: int
    queues: list[str]
    threads: int
    started_at: datetime | None
    memory_bytes: int
    heard_seconds: float
    current: list[CurrentWork]
    quiet: Pause | None = Field(description="Who told it to take nothing more, when and why.")


class Workers(BaseModel):
    """Every worker process that is alive."""

    workers: list[Worker]
