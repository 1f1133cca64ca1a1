"""What has no readable identity is kept, and can be looked at."""

from sqlalchemy import Engine

from domain.db import transaction
from domain.inbox import service as inbox
from tests.domain.inbox.shop import PERCENTAGE, conversion, open_shop, send


def test_what_cannot_be_named_is_listed_with_its_reason_and_its_beginning(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    send(engine, "{broken \udcff\0", conversion("ord-1"))
    with transaction(engine) as tx:
        (row,) = inbox.unreadable(tx, 10)
    assert row.reason == "invalid_unicode"
    assert row.begins.startswith("{broken ")
