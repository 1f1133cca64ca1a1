"""The OpenAPI document without a server: `python -m web.describe > docs/reference/openapi.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from domain.db import connect
from domain.secrets import SecretBox, new_key
from web.app import create_app
from web.context import ApiContext


def document() -> dict[str, Any]:
    """What `/openapi.json` answers. Connects to nothing."""
    nowhere = ApiContext(
        engine=connect("postgresql+psycopg://nowhere/none"),
        redis_url="redis://nowhere:1",
        namespace="none",
        box=SecretBox([new_key()]),
        revision="none",
    )
    return create_app(nowhere).openapi()


def as_text(described: dict[str, Any]) -> str:
    """The document as it is kept in the repository."""
    return json.dumps(described, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text(document()))
