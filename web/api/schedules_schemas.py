"""What the operations on schedules take and answer, as models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class PauseRequest(BaseModel):
    """Why a schedule is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class Schedule(BaseModel):
    """What fires when, on business time by a cron expression, or on real time by an interval."""

    name: str = Field(description="With the merchant, where it is one's: `payouts.run/acme`.")
    actor: str
    queue: str
    cron: str | None
    zone: str = Field(description="IANA, of the cron expression.")
    every_seconds: int | None
    catch_up: str = Field(
        description="What of several missed fires is made up for: latest, or all."
    )
    next_fire_at: datetime
    last_fire_at: datetime | None
    last_state: str | None = Field(description="emitted, running, done or failed.")
    last_error: str | None
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None


class Schedules(BaseModel):
    """Every schedule of the installation, by name."""

    schedules: list[Schedule]


class Fired(BaseModel):
    """A fire by hand."""

    name: str
    fire_at: datetime
