"""Builds the HTTP API of a process from its settings."""

from fastapi import FastAPI

from domain.db import connect
from migrations import apply
from payspool.runtime import secret_box
from payspool.settings import BadSettings, Settings
from web.app import create_app
from web.context import ApiContext, ApiLimits


def build_app(settings: Settings) -> FastAPI:
    """The API as an ASGI application. Raises BadSettings without addresses or keys."""
    if settings.database_url is None or settings.redis_url is None:
        raise BadSettings("Set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL, or run `payspool up`.")
    limits = ApiLimits()
    return create_app(
        ApiContext(
            engine=connect(
                settings.database_url,
                pool_size=limits.threads // 2,
                application_name="payspool api",
            ),
            redis_url=settings.redis_url,
            namespace=settings.namespace,
            box=secret_box(settings),
            revision=apply.newest(),
            limits=limits,
        )
    )
