"""What a run would do now: whom it pays and whom not with the reason, whether the gateway has the money, and
what the merchant's policy says; and the button that starts it."""

from __future__ import annotations

from typing import Any, Final

from anyio import to_thread
from nicegui import ui

from domain import clock
from domain.db import Tx
from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts import service
from domain.payouts.rules import Pay
from domain.payouts.rules.approving import Policy
from domain.payouts.rules.breaker import Balance
from domain.payouts.service import Foreseen, Funds, PreviewLine, RunSpec
from domain.payouts.service.foreseeing import PAY
from domain.payouts.service.stopping import METHODS
from domain.payouts.store import limits, policies
from web.dashboard.components.live import Question, act, allowed, ask, button, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, link, money, number_text, payee_page, sheet
from web.dashboard.components.table import Column, table
from web.dashboard.shell import safely
from web.dashboard.visit import Visit

LINES: Final = 50
"""Lines of each reason on the page; its totals count all."""

Wanted = tuple[dict[str, int], tuple[str, ...]]
"""The smallest payouts in minor units by currency, and the methods of a run."""


async def show_preview(visit: Visit, key: str, merchant_id: int) -> None:
    """Draw the policy, the form, and what it shows."""

    def load(tx: Tx) -> tuple[Policy, dict[str, int]]:
        day = service.limit_day(tx)
        return policies.of(tx, merchant_id), limits.used(tx, merchant_id, day, None)[1]

    policy, used = await visit.read(load)
    with ui.element("section").classes("sheet stack"):
        with ui.element("div").classes("row"):
            least = ui.input("Minimums, as usd=1000").props("outlined dense").classes("wide")
            method = ui.select(list(METHODS), value="stripe", label="Method").props(
                "outlined dense"
            )

            def wanted() -> Wanted | None:
                try:
                    return minimums(least.value or ""), (str(method.value),)
                except Invalid as error:
                    ui.notify(str(error), type="negative", position="top")
                    return None

            async def show() -> None:
                if (terms := wanted()) is None:
                    return
                box.clear()
                with box:
                    await safely(lambda: _foresee(visit, key, merchant_id, terms))

            async def start() -> None:
                if (terms := wanted()) is not None:
                    await _start(visit, key, merchant_id, policy, terms)

            button("Preview", show)
            if allowed(visit, "run.start"):
                button("Start a run…", start, "go")
        ui.html(
            join(tag("p", _policy(policy), class_="dim"), _limits(visit, policy, used)),
            sanitize=False,
        )
        box = ui.element("div").classes("stack")


def minimums(said: str) -> dict[str, int]:
    """Amounts in minor units by currency, of what somebody wrote. Raises Invalid.

    >>> minimums("usd=1000, EUR=500")
    {'usd': 1000, 'eur': 500}
    """
    made: dict[str, int] = {}
    for one in said.lower().replace(",", " ").split():
        code, _, amount = one.partition("=")
        if not is_currency(code) or not (amount.isascii() and amount.isdigit()):
            raise Invalid("Minimums", f"{one!r} is not of the form usd=1000 (minor units)")
        made[code] = int(amount)
    return made


def _policy(policy: Policy) -> str:
    within = f"another person's approval, within {policy.approval_hours} hours."
    said = {
        "never": "No run of this merchant needs a person's approval.",
        "always": f"Each run needs {within}",
    }.get(policy.approval, f"A run above this merchant's limits needs {within}")
    cools = policy.cooling_off_hours
    return said + (f" A new or changed destination waits {cools} hours." if cools else "")


def _limits(visit: Visit, policy: Policy, used: dict[str, int]) -> Html:
    if not policy.limits:
        said = "No limits are set: payspool payouts policy sets them."
        return tag("p", said, class_="dim")

    def of(name: str) -> Any:
        return lambda row: money(visit, getattr(row[1], name), row[0])

    shown = table(
        [
            Column("Currency", lambda row: row[0].upper()),
            Column("Nobody has to approve a payout up to", of("auto_payout"), "num"),
            Column("nor a run up to", of("auto_run"), "num"),
            Column("Least", of("minimum"), "num"),
            Column("Most at once", of("max_payout"), "num"),
            Column("Payee and day", of("max_payee_day"), "num"),
            Column("Run", of("max_run"), "num"),
            Column("Day", of("max_day"), "num"),
            Column("One person adjusts in 7 days", of("adjust_alone"), "num"),
            Column("Used today", lambda row: money(visit, used.get(row[0], 0), row[0]), "num"),
        ],
        sorted(policy.limits.items()),
        empty="",
        label="Limits",
    )
    return tag("details", tag("summary", "Limits of this merchant"), shown)


async def _start(visit: Visit, key: str, merchant_id: int, policy: Policy, terms: Wanted) -> None:
    follows = {
        "never": "By this merchant's policy it is sent at once.",
        "always": "Another person has to approve it before anything is sent.",
    }.get(policy.approval, "It is sent at once, unless it is above this merchant's limits.")
    question = Question(
        "Start a payout run?",
        ("It claims all that is due now. Preview it first.", follows),
        confirm="Start the run",
        kind="danger",
    )
    # Named when it is asked: an answer that arrives twice finds the run of the first.
    name = await visit.read(lambda tx: f"manual {clock.real_now(tx):%Y-%m-%dT%H:%M:%S.%f}")
    spec = {"merchant_id": merchant_id, "name": name, "minimums": terms[0], "methods": terms[1]}
    if await ask(question) is not None and await act(visit, "run.start", None, **spec):
        ui.timer(1.5, lambda: ui.navigate.to(f"/m/{key}/runs"), once=True)


async def _foresee(visit: Visit, key: str, merchant_id: int, terms: Wanted) -> None:
    def load(tx: Tx) -> tuple[Foreseen, dict[tuple[str, str], int]]:
        spec = RunSpec(merchant_id, "preview", clock.business_now(tx), *terms)
        return service.foresee(tx, spec, shown=LINES), service.unsent(tx, merchant_id)

    foreseen, waits = await visit.read(load)
    asked = visit.context.balance

    def balance(method: str) -> Balance:
        if asked is None:
            return Balance("silent", why="this dashboard does not ask gateways")
        return asked(merchant_id, method)

    # Over the network: after the transaction, and not in the place of a page that reads.
    funds = await to_thread.run_sync(lambda: service.funds(foreseen.needed, waits, balance))
    put(_totals(visit, foreseen))
    for one in funds:
        if one.shortfall:
            short = money(visit, one.shortfall, one.currency)
            said = join(
                f"{one.method} lacks ",
                short,
                " for this and for what waits already: what it cannot pay fails or waits."
                " Top it up first, or pay less.",
            )
            put(tag("p", said, class_="wrong", role="alert"))
    if funds:
        put(sheet(_funds(visit, funds), title="Money for it", flush=True))
    for reason in sorted(foreseen.lines, key=lambda one: (one != PAY, one)):
        count = foreseen.totals.created if reason == PAY else foreseen.totals.reasons[reason]
        title = "Would be paid" if reason == PAY else f"Not paid: {reason.replace('_', ' ')}"
        put(
            sheet(
                _lines(visit, key, foreseen.lines[reason]),
                _rest(count, len(foreseen.lines[reason])),
                title=f"{title} ({number_text(visit, count)})",
                flush=True,
            )
        )


def _totals(visit: Visit, foreseen: Foreseen) -> Html:
    totals = foreseen.totals
    sums = [money(visit, one["amount"], code) for code, one in totals.by_currency.items()]
    said = join(
        tag("b", f"{number_text(visit, totals.created)} would be paid"),
        *((" (", join(*(join(one, " ") for one in sums)), ")") if sums else ()),
        f", {number_text(visit, totals.skipped)} would not. Nothing was written.",
    )
    if not foreseen.complete:
        said = join(
            said, " There are more payees than a page counts; payspool payouts preview counts all."
        )
    return tag("p", said, role="status")


def _funds(visit: Visit, funds: list[Funds]) -> Html:
    def left(one: Funds) -> Html:
        if one.available is None:
            return Html("")
        short = money(visit, one.shortfall, one.currency)
        return join(chip("failed"), " ", short) if one.shortfall else chip("enough")

    return table(
        [
            Column("Method", lambda f: f.method),
            Column("Needed", lambda f: money(visit, f.needed, f.currency), "num"),
            Column("Waits already", lambda f: money(visit, f.waiting, f.currency), "num"),
            Column("At the gateway", lambda f: money(visit, f.available, f.currency), "num"),
            Column("Lacks", left, "num"),
            Column("Why it is not known", lambda f: f.why),
        ],
        funds,
        empty="",
        label="Money for it",
    )


def _lines(visit: Visit, key: str, lines: list[PreviewLine]) -> Html:
    def amount(line: PreviewLine) -> Html:
        kept = line.decision.amount if isinstance(line.decision, Pay) else line.amount
        return money(visit, kept, line.currency)

    return table(
        [
            Column("User", lambda line: link(line.user_id, payee_page(key, line.user_id))),
            Column("Amount", amount, "num"),
            Column(
                "Why",
                lambda line: (
                    carried(visit, line) if isinstance(line.decision, Pay) else line.decision.detail
                ),
            ),
        ],
        lines,
        empty="Nobody.",
        label="Preview",
    )


def carried(visit: Visit, line: PreviewLine) -> Html:
    """What of somebody's due the limit of a payout leaves for the next run, or nothing."""
    if not isinstance(line.decision, Pay) or not line.decision.carried:
        return Html("")
    return join(
        money(visit, line.decision.carried, line.currency), " more is left for the next run"
    )


def _rest(count: int, shown: int) -> Html:
    if count <= shown:
        return Html("")
    said = f"The first {shown}; payspool payouts preview lists all."
    return tag("p", said, class_="pages dim")
