"""The sandbox's own clock."""

import time

import pytest

from sandbox.clock import Clock, ClockBackwards


def test_it_runs_with_the_real_one_from_where_it_was_put():
    clock = Clock()
    assert abs(clock.now() - time.time()) < 2
    clock.move_to(clock.now() + 1000)
    assert abs(clock.now() - time.time() - 1000) < 2


def test_it_does_not_go_back():
    clock = Clock(500)
    with pytest.raises(ClockBackwards):
        clock.move_to(clock.now() - 10)
    assert clock.offset == 500


def test_objects_are_created_at_its_time(platform, client):
    before = platform.admin("POST", "/clock", {"advance_seconds": 100})["now"]
    payee = client.v1.accounts.retrieve(platform.account(client))
    assert before <= payee.created <= before + 5
    moved = platform.admin("POST", "/clock", {"now": before + 1000})
    assert before + 1000 <= moved["now"] <= before + 1005


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance_seconds": -1},
        {"now": 1},
        {"advance_seconds": "1"},
        {"advance_seconds": True},
        {"advance_seconds": 1, "now": 99999999999},
    ],
)
def test_a_move_that_makes_no_sense_is_refused(platform, body):
    before = platform.admin("GET", "/clock")
    assert platform.admin("POST", "/clock", body)["status"] == 400
    assert platform.admin("GET", "/clock")["offset_seconds"] == before["offset_seconds"]
