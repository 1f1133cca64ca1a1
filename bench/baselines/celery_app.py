"""The handler as a Celery task over Redis, acknowledged late, as money asks for."""

import os
from typing import Final

from celery import Celery
from celery.signals import worker_process_init

from bench.baselines.handler import apply_one
from domain.db import connect

QUEUE: Final = "celery-events"


def url_for(redis_url: str) -> str:
    """The address as Celery writes it."""
    return redis_url.replace("unix://", "redis+socket://")


app = Celery("bench", broker=url_for(os.environ.get("PAYSPOOL_REDIS_URL", "redis://")))
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)
engine = connect(os.environ.get("PAYSPOOL_DATABASE_URL", "postgresql+psycopg://"), pool_size=1)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _own_connections(**_signal: object) -> None:
    engine.dispose(close=False)


@app.task(name="apply")  # type: ignore[untyped-decorator]
def apply(text: str) -> None:
    """Apply an event."""
    apply_one(engine, "celery", text)
