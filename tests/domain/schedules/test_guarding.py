"""A clock that jumps holds every fire until a person has looked; a scheduler that slept is no jump."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from domain import clock
from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden
from domain.schedules import guarding, rules, service
from domain.schedules.guarding import ClockHeld, Hold, Seen
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from tests.domain.waiting import PATIENCE, until_one_waits_for

HOUR = 3_600.0
ANN = Actor("person", "ann")


@dataclass
class Machine:
    """A machine whose own time is moved by the test: what it lacks, PostgreSQL's clock has jumped."""

    engine: Engine
    boot: str = "boot-a"
    elapsed: float = 1_000_000.0
    last: Seen | None = None
    holds: list[Hold] = field(default_factory=list)

    def look(self) -> Hold | None:
        with transaction(self.engine) as tx:
            self.last, hold = guarding.look(tx, self.boot, self.elapsed, self.last)
        return hold

    def jump(self, seconds: float) -> None:
        """PostgreSQL's clock goes on by so much while no time passes here."""
        self.elapsed -= seconds

    def restart(self) -> None:
        self.last = None

    def sleep(self, seconds: float) -> None:
        """Time passes everywhere: as if every row had been written earlier."""
        self.elapsed += seconds
        with transaction(self.engine) as tx:
            tx.execute(
                text(
                    "UPDATE scheduler_clock SET ticked_at = ticked_at - make_interval(secs => :s)"
                ),
                {"s": seconds},
            )


@pytest.fixture
def machine(engine: Engine) -> Machine:
    return Machine(engine)


def accept(engine: Engine) -> Hold:
    with transaction(engine) as tx:
        return guarding.accept_clock(tx, actor=ANN)


def test_time_that_passes_holds_nothing(machine: Machine) -> None:
    assert [machine.look() for _ in range(5)] == [None] * 5
    machine.jump(599)
    assert machine.look() is None


@pytest.mark.parametrize(("seconds", "way"), [(3 * HOUR, "forwards"), (-3 * HOUR, "backwards")])
def test_a_jump_holds_until_a_person_accepts_the_clock(
    machine: Machine, seconds: float, way: str
) -> None:
    machine.look()
    machine.jump(seconds)
    hold = machine.look()
    assert hold is not None
    assert f"{way} by 3:00:00" in hold.sentence
    assert machine.look() == hold
    with transaction(machine.engine) as tx:
        service.register(tx, Schedule("s", "sweeps", "a.b", Every(5)))
        with pytest.raises(ClockHeld, match="accept-clock"):
            service.run_now(tx, "s")
    assert accept(machine.engine) == hold
    assert machine.look() is None
    with pytest.raises(Forbidden, match="nothing is held"):
        accept(machine.engine)
    with transaction(machine.engine) as tx:
        actions = tx.execute(text("SELECT action, actor_id FROM audit_entries ORDER BY id")).all()
    assert actions == [
        ("scheduler.clock_held", "boot-a"),
        ("scheduler.clock_accepted", "ann"),
    ]


def test_a_scheduler_that_was_down_for_hours_is_not_held(machine: Machine) -> None:
    machine.look()
    machine.sleep(5 * HOUR)
    machine.restart()
    assert machine.look() is None


def test_a_machine_that_slept_or_was_frozen_is_not_held(machine: Machine) -> None:
    machine.look()
    machine.sleep(5 * HOUR)
    assert machine.last is not None
    earlier = machine.last.tick.at - timedelta(hours=5)
    machine.last = Seen(rules.Tick(earlier, "boot-a", machine.last.tick.elapsed), 0)
    assert machine.look() is None


def test_a_jump_while_it_was_down_is_seen_on_the_same_boot(machine: Machine) -> None:
    machine.look()
    machine.sleep(60)
    machine.jump(24 * HOUR)
    machine.restart()
    assert machine.look() is not None


def test_after_a_reboot_only_a_step_backwards_is_certain(machine: Machine) -> None:
    machine.look()
    machine.sleep(24 * HOUR)
    rebooted = Machine(machine.engine, boot="boot-b", elapsed=30.0)
    assert rebooted.look() is None
    machine.sleep(-2 * HOUR)
    again = Machine(machine.engine, boot="boot-c", elapsed=30.0)
    hold = again.look()
    assert hold is not None
    assert "backwards" in hold.sentence


def test_what_one_scheduler_sees_holds_all_and_is_accepted_once(machine: Machine) -> None:
    other = Machine(machine.engine, boot="boot-b", elapsed=77.0)
    late = Machine(machine.engine, boot="boot-d", elapsed=5.0)
    for one in (machine, other, late):
        one.look()
    for one in (machine, other, late):
        one.jump(HOUR)
    hold = machine.look()
    assert other.look() == hold
    accept(machine.engine)
    # One that did not look in between begins anew: it was accepted for all.
    assert [one.look() for one in (machine, other, late)] == [None] * 3
    machine.jump(HOUR)
    assert machine.look() is not None


def held_while_the_other_looks(machine: Machine, other: Machine) -> list[Hold | None]:
    """What both see, if the second looks before the first one's hold is committed."""
    with ThreadPoolExecutor(1) as pool:
        with transaction(machine.engine) as tx:
            _, first = guarding.look(tx, machine.boot, machine.elapsed, machine.last)
            looking = pool.submit(other.look)
            until_one_waits_for(machine.engine, tx)
        return [first, looking.result(PATIENCE)]


def test_of_two_that_see_the_same_jump_at_once_both_are_held(machine: Machine) -> None:
    other = Machine(machine.engine)
    for one in (machine, other):
        one.look()
        one.jump(HOUR)
    first, second = held_while_the_other_looks(machine, other)
    assert first is not None
    assert second == first
    with transaction(machine.engine) as tx:
        assert tx.execute(text("SELECT action FROM audit_entries")).all() == [
            ("scheduler.clock_held",)
        ]


def test_one_that_cannot_know_of_a_jump_is_held_by_one_that_it_waited_for(machine: Machine) -> None:
    machine.look()
    machine.sleep(60)
    machine.jump(HOUR)
    started_now = Machine(machine.engine, boot="boot-b", elapsed=5.0)
    first, second = held_while_the_other_looks(machine, started_now)
    assert first is not None
    assert second == first


def test_simulated_time_is_meant_to_jump(machine: Machine) -> None:
    machine.look()
    with transaction(machine.engine) as tx:
        clock.simulate(tx, clock.real_now(tx), sandbox=True)
    machine.jump(24 * HOUR)
    assert machine.look() is None
    with transaction(machine.engine) as tx:
        assert guarding.present_hold(tx) is None


def test_the_examples_in_the_rules_are_true() -> None:
    failed, tried = doctest.testmod(rules)
    assert tried
    assert not failed
