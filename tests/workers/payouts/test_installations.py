"""Two installations may use one account of the gateway: neither is taken for the other."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, make_url, pool, text
from sqlalchemy.exc import DBAPIError

from domain.db import connect, transaction
from domain.installation import installation_code
from migrations import apply
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office
from workers import payouts


@pytest.fixture
def second(admin_url: str) -> Iterator[Engine]:
    """A database that was migrated by itself, as another installation's."""
    name = f"second_{secrets.token_hex(4)}"
    server = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER payspool_owner"))
    url = make_url(admin_url).set(database=name)
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("ALTER SCHEMA public OWNER TO payspool_owner"))
    owned = url.set(username="payspool_owner").render_as_string(hide_password=False)
    apply.upgrade(owned)
    made = connect(
        url.set(username="payspool_runtime").render_as_string(hide_password=False), pool_size=2
    )
    yield made
    made.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_two_installations_pay_the_same_numbers_through_one_account(
    engine: Engine, second: Engine, platform: Platform
) -> None:
    platform.fund(10_000)
    for database in (engine, second):
        office = Office(database, platform)
        office.owe(1_000)
        assert office.build() == [1]
        office.work_off()
        assert office.states() == {1: "paid"}
    groups = {transfer.transfer_group for transfer in platform.transfers()}
    assert len(groups) == 2


def test_one_installation_does_not_find_what_another_one_paid(
    engine: Engine, second: Engine, platform: Platform
) -> None:
    platform.fund(10_000)
    ours, theirs = Office(engine, platform), Office(second, platform)
    for office in (ours, theirs):
        office.owe(1_000)
        office.build()
    platform.plan({"fault": "drop_before", "times": 1})
    payouts.send(ours, 1)
    assert ours.states() == {1: "unknown"}
    theirs.work_off()
    [sent] = platform.transfers()
    assert sent.metadata["installation"] != _code(engine)
    asked = sent.metadata | {"transfer_group": f"payspool/{_code(engine)}/1"}
    assert platform.gateway().find(asked | {"destination": sent.destination}) == []
    ours.work_off()
    assert ours.states() == {1: "paid"}


def test_nobody_changes_the_code_of_an_installation(engine: Engine) -> None:
    before = _code(engine)
    for statement in (
        "UPDATE installation SET code = '0123456789ab'",
        "DELETE FROM installation",
        "INSERT INTO installation (id, code) VALUES (2, '0123456789ab')",
    ):
        with pytest.raises(DBAPIError, match="permission denied"), transaction(engine) as tx:
            tx.execute(text(statement))
    owner = connect(
        make_url(engine.url).set(username="payspool_owner").render_as_string(hide_password=False)
    )
    with pytest.raises(DBAPIError, match="append-only"), transaction(owner) as tx:
        tx.execute(text("UPDATE installation SET code = '0123456789ab'"))
    owner.dispose()
    assert _code(engine) == before


def _code(engine: Engine) -> str:
    with transaction(engine) as tx:
        return installation_code(tx)
