"""On what the figures were measured, in general terms."""

import os
import platform
from importlib.metadata import version

import psutil
import redis
from sqlalchemy import create_engine, pool, text

from payspool.embedded import Endpoints


def describe(endpoints: Endpoints) -> str:
    """One line: cores, memory, system, versions, and that the servers sync."""
    engine = create_engine(endpoints.admin_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        postgres = connection.execute(text("SHOW server_version")).scalar_one()
        synced = connection.execute(
            text("SELECT current_setting('fsync') || '/' || current_setting('synchronous_commit')")
        ).scalar_one()
    with redis.Redis.from_url(endpoints.redis_url) as client:
        info = client.info()
        appends = client.config_get("appendfsync")["appendfsync"]
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()},"
        f" Python {platform.python_version()}, PostgreSQL {postgres.split()[0]}"
        f" (fsync/synchronous_commit {synced}), Valkey {info.get('valkey_version', info['redis_version'])}"
        f" (appendfsync {appends}), Dramatiq {version('dramatiq')}, Celery {version('celery')};"
        f" load average {os.getloadavg()[0]:.1f} at the start"
    )
