"""What happens to merchants, step by step: done to the database and to a model of each alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, zip_longest
from random import Random
from typing import Any, ClassVar, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.domain.inbox.shop import together
from tests.domain.referrals.happenings import ACCOUNTS, AS_OF, POLICIES, USERS, Story, any_terms
from tests.domain.referrals.stage import TERMS, Stage, beginning
from tests.oracles.merchant.conversions import Event
from tests.oracles.merchant.payouts import METHOD, Payout, Picture

MOST: Final = 4
"""Merchants whose sequences are played side by side, at most."""
LEAST: Final = 4
"""Steps of a sequence that is one to speak of."""
STEPS: Final = (
    *("deliver", "deliver", "deliver at once"),
    *("terms", "statuses", "decide", "decide", "move", "pay out", "move payouts"),
)
"""What a merchant may do at a step; what is named twice is done more often."""
seeds = st.integers(0, 2**24 - 1)
"""Larger ones would mostly be drawn small, and the same sequence be played again and again."""
sizes = st.integers(3, 12)
STATES: Final = {"paid": "paid", "refused": "failed", "silence": "unknown"}
"""What a gateway's answer makes of a payout."""


def differences(shown: Picture, said: Picture) -> list[str]:
    """What the database has and the model has not, and the other way round."""
    told = []
    for name, rows in said.items():
        found = Counter(shown[name])
        found.subtract(Counter(rows))
        told += [
            f"{name}, in the {'database' if more > 0 else 'model'} alone: {row}"
            for row, more in sorted(found.items())
            if more
        ]
    return told


class Tenant:
    """A merchant: its model, its part of the database, and what is told of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.model = stage, beginning()
        self.story = Story()
        self.runs = 0
        self.did: tuple[str | int, ...] = ()
        self.steps = 0

    def possible(self, step: str) -> str:
        """A step, or the one that has to come before it."""
        if not self.model.kept:
            return "deliver"
        return "pay out" if step == "move payouts" and not self.model.payouts else step

    def do(self, step: str, rng: Random) -> None:
        """Do what needs nobody else."""
        if step == "terms":
            self.change_terms(rng.choice(sorted(TERMS)), any_terms(rng))
        elif step == "statuses":
            self.set_statuses(rng)
        elif step == "decide":
            self.decide(rng)
        elif step == "move":
            self.move(rng)
        else:
            assert step == "move payouts"
            self.move_payouts(rng)

    def compare(self) -> None:
        """The database shows what the model says, in each state of each earning, conversion and payout."""
        shown, said = self.stage.picture(), self.model.picture()
        assert shown == said, "\n".join([self.stage.key, *differences(shown, said)])

    def change_terms(self, key: str, terms: dict[str, Any]) -> None:
        program = self.model.programs[key]
        if program.status != "ended":
            note((self.stage.key, key, terms))
            program.terms = terms
            program.version += 1
            self.stage.change(program)

    def watch(self, key: str, policy: dict[str, Any]) -> None:
        program = self.model.programs[key]
        program.policy = policy
        note((self.stage.key, key, policy))
        self.stage.set_policy(program)

    def set_statuses(self, rng: Random) -> None:
        """A program is paused or ended, a code suspended, or they are used again."""
        program = rng.choice(list(self.model.programs.values()))
        if program.status != "ended":
            program.status = rng.choice(("active", "active", "paused", "ended"))
            self.stage.set_status(program)
        for code in rng.sample(list(self.model.codes.values()), 2):
            code.status = rng.choice(("active", "active", "suspended", "inactive"))
            self.stage.set_code(code)

    def decide(self, rng: Random) -> None:
        """A person releases what may be fraud, or rejects it ."""
        found = self.model.suspicions()
        for order, kind, ref in rng.sample(found, -(-len(found) // 2)):
            if self.model.kept[order].suspicions[kind, ref] is not None:
                continue  # rejected with another one
            what = rng.choice(("release", "reject"))
            if what == "release":
                self.model.release(order, kind, ref)
            else:
                self.model.reject(order)
            note((self.stage.key, what, order, kind, ref))
            self.stage.decide(order, kind, ref, what)

    def move(self, rng: Random) -> None:
        """Somebody is paid elsewhere, and it is looked at who else is paid there."""
        user, where = rng.choice(USERS), (METHOD, rng.choice(ACCOUNTS))
        if self.model.destinations.get(user) != where:
            note((self.stage.key, user, where))
            self.model.move(user, where)
            self.stage.move(user, where)

    def pay_out(self, rng: Random) -> None:
        self.runs += 1
        name, as_of = f"run {self.runs}", rng.choice(AS_OF)
        minimums = {"usd": rng.choice((0, 0, 0, 400))}
        note((self.stage.key, name, as_of, minimums))
        self.stage.run(name, as_of, minimums)
        self.model.run(name, as_of, minimums)

    def deliver(self, batch: list[Event]) -> None:
        """Apply events, in the database alone."""
        self.stage.deliver(list(map(self.stage.text, batch)))

    def pay_out_at_once(self, rng: Random) -> None:
        """Two runs, or two builders of one run, side by side; which run has a payout is seen afterwards."""
        self.runs += 2
        names = [f"run {self.runs - 1}", f"run {self.runs - rng.choice((0, 1))}"]
        as_of, minimums = rng.choice(AS_OF), {"usd": rng.choice((0, 0, 400))}
        note((self.stage.key, names, as_of, minimums))
        together([lambda name=name: self.stage.run(name, as_of, minimums) for name in names])
        made = self.model.run(names[0], as_of, minimums)
        for payout, name in zip(made, self.stage.runs_of(made), strict=True):
            assert name in names
            payout.run = name
        self.compare()

    def move_payouts(self, rng: Random) -> None:
        """Each payout goes on, or stays: sent, asked about, retried, canceled, come back, decided on."""
        for payout in self.model.payouts:
            before = payout.state
            if payout.state in ("approved", "failed"):
                rng.choice((self._send, self._send, self._cancel, self._leave))(payout, rng)
            elif payout.state == "unknown":
                rng.choice((self._resolve, self._leave))(payout, rng)
            elif payout.state == "paid" and rng.random() < 0.3:
                self._come_back(payout, rng)
            if any(one.decision is None for one in payout.back) and rng.random() < 0.6:
                self._say_what_becomes_of_it(payout, rng)
            note((self.stage.key, "payout", payout.number, before, payout.state))

    def _leave(self, payout: Payout, rng: Random) -> None:
        """It waits."""

    def _send(self, payout: Payout, rng: Random) -> None:
        if payout.state == "failed":
            self.stage.retry(payout)
        attempt = self.stage.begin(payout)
        assert (attempt is not None) == self.model.begins(payout), payout
        if attempt is not None:
            outcome = rng.choice(("paid", "paid", "paid", "refused", "silence"))
            payout.state = STATES[outcome]
            assert self.stage.answer(attempt, outcome) == payout.state

    def _resolve(self, payout: Payout, rng: Random) -> None:
        outcome = rng.choice(("paid", "paid", "refused", "silence"))
        payout.state = STATES[outcome]
        assert self.stage.resolve(payout, outcome) == payout.state

    def _cancel(self, payout: Payout, rng: Random) -> None:
        self.stage.cancel(payout)
        self.model.cancel(payout)

    def _come_back(self, payout: Payout, rng: Random) -> None:
        left = payout.amount - payout.came_back
        self.model.come_back(payout, -(-left // rng.choice((1, 1, 2, 3))))
        self.stage.come_back(payout)

    def _say_what_becomes_of_it(self, payout: Payout, rng: Random) -> None:
        untouched = all(one.decision is None for one in payout.back)
        if payout.state == "reversed" and untouched and rng.random() < 0.6:
            self.model.release_payout(payout)
            self.stage.release_payout(payout)
            return
        for part, one in enumerate(payout.back):
            if one.decision is None:
                decision = rng.choice(("owed", "kept"))
                self.model.settle(payout, part, decision)
                self.stage.settle(payout, part, decision)


class Sequences(RuleBasedStateMachine):
    """The sequences of a few merchants that use the same names, played side by side: what each does at each
    step is drawn for it alone. Only when several deliver at one step, their events share a delivery.

    What a step is in full follows from its kind and seed: to draw every field takes longer than to apply it.
    How they reach a database is said by who plays them, and ``played`` has a number for each sequence that
    came to its end and was compared: equal ones once, and those alone that had LEAST steps, and in which a
    conversion was counted.
    """

    played: ClassVar[set[int]]
    threads: ClassVar[bool] = False
    """Whether what may happen at once does."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.played = set()

    def __init__(self) -> None:
        super().__init__()
        self.tenants = [Tenant(stage) for stage in self.open()]

    def open(self) -> list[Stage]:
        """The shops, as nothing has happened to them."""
        raise NotImplementedError

    def close(self) -> None:
        """The end, after all was compared."""

    def teardown(self) -> None:
        try:
            for tenant in self.tenants:
                tenant.compare()
                if tenant.model.kept and tenant.steps >= LEAST:
                    self.played.add(hash((*tenant.did, *tenant.story.sent)))
        finally:
            self.close()

    @initialize(seed=seeds)
    def begin(self, seed: int) -> None:
        for tenant, rng in self._each(seed):
            one, other = rng.choices(sorted(TERMS), k=2)
            tenant.story.liked = {one, other}
            tenant.change_terms(one, any_terms(rng))
            tenant.watch(other, rng.choice(POLICIES))

    @rule(kinds=st.tuples(*[st.sampled_from(STEPS)] * MOST), seed=seeds, size=sizes)
    def step(self, kinds: tuple[str, ...], seed: int, size: int) -> None:
        delivering = []
        for (tenant, rng), kind in zip(self._each(seed), kinds, strict=False):
            step = tenant.possible(kind)
            tenant.did += (step, size)
            tenant.steps += 1
            if step == "deliver" or (step == "deliver at once" and not self.threads):
                delivering.append((tenant, rng))
            elif step == "deliver at once":
                self.deliver_at_once(tenant, rng, size)
            elif step == "pay out":
                self.pay(tenant, rng)
                tenant.move_payouts(rng)
            else:
                tenant.do(step, rng)
        self._deliver(delivering, size)

    def deliver_at_once(self, tenant: Tenant, rng: Random, size: int) -> None:
        """A batch in parts that are applied at once."""
        raise NotImplementedError

    def pay(self, tenant: Tenant, rng: Random) -> None:
        tenant.pay_out(rng)

    def _each(self, seed: int) -> Iterator[tuple[Tenant, Random]]:
        """The merchants, each with chance of its own."""
        for number, tenant in enumerate(self.tenants):
            yield tenant, Random(seed * MOST + number)

    @staticmethod
    def _deliver(to: list[tuple[Tenant, Random]], size: int) -> None:
        """A batch of events of some merchants in turns."""
        batches = [tenant.story.batch(rng, size, tenant.model) for tenant, rng in to]
        told = [[(tenant, e) for e in b] for (tenant, _), b in zip(to, batches, strict=True)]
        if told:
            deliver([one for one in chain(*zip_longest(*told)) if one is not None])
        for (tenant, _), batch in zip(to, batches, strict=True):
            tenant.model.deliver(batch)


def deliver(batch: list[tuple[Tenant, Event]]) -> None:
    """Apply events of several merchants in one go."""
    for tenant, event in batch:
        note((tenant.stage.key, event))
    batch[0][0].stage.deliver([tenant.stage.text(event) for tenant, event in batch])
