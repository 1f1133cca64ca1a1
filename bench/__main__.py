"""``python -m bench``: measure, tell a table, write JSON lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench import cards as card_files
from bench import dashboard, expiry, ingest, latency, limited, publish, runs, sending, validate
from bench.figures import Figure, as_json, as_table, goals
from bench.machine import describe
from bench.options import Options
from bench.site import Site

BENCHES: Final[dict[str, Callable[[Site, Options], Iterator[Figure]]]] = {
    "ingest": ingest.measure,
    "publish": publish.measure,
    "latency": latency.measure,
    "runs": runs.measure,
    "sending": sending.measure,
    "limited": limited.measure,
    "expiry": expiry.measure,
    "validate": validate.measure,
    "cards": card_files.measure,
    "dashboard": dashboard.measure,
}
"""What ONLY= chooses from."""
_SIZES: Final = Options(say=lambda _sentence: None)


def main(
    only: Annotated[str, typer.Option(help="benches, by comma; empty: all")] = "",
    out: Annotated[Path | None, typer.Option(help="file for the JSON lines")] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="runs of which the median counts")
    ] = _SIZES.rounds,
    events: Annotated[int, typer.Option(min=1, help="events of one run of ingest")] = _SIZES.events,
    peer_events: Annotated[
        int, typer.Option(min=2, help="events for slower peers")
    ] = _SIZES.peer_events,
    warm_events: Annotated[
        int, typer.Option(min=1, help="untimed events first")
    ] = _SIZES.warm_events,
    processes: Annotated[int, typer.Option(min=1, help="worker processes")] = _SIZES.processes,
    rate: Annotated[int, typer.Option(min=1, help="events/s for latency")] = _SIZES.rate,
    seconds: Annotated[int, typer.Option(min=1, help="how long for latency")] = _SIZES.seconds,
    publishes: Annotated[
        int, typer.Option(min=1, help="events published one by one")
    ] = _SIZES.publishes,
    earnings: Annotated[int, typer.Option(min=1, help="due earnings of a run")] = _SIZES.earnings,
    payees: Annotated[int, typer.Option(min=1, help="payees of a run")] = _SIZES.payees,
    payouts: Annotated[int, typer.Option(min=1, help="payouts that are sent")] = _SIZES.payouts,
    limited_payouts: Annotated[
        int, typer.Option(min=2, help="payouts that are sent under a limit")
    ] = _SIZES.limited_payouts,
    lots: Annotated[int, typer.Option(min=80, help="points' lots that are due")] = _SIZES.lots,
    codes: Annotated[int, typer.Option(min=1, help="codes that may be asked about")] = _SIZES.codes,
    check_rate: Annotated[
        int, typer.Option(min=1, help="codes asked about in a second")
    ] = _SIZES.check_rate,
    cards: Annotated[int, typer.Option(min=2, help="cards of a file")] = _SIZES.cards,
    pages: Annotated[int, typer.Option(min=1, help="open pages of the dashboard")] = _SIZES.pages,
) -> None:
    """Measure beside peers and limits. Ends with status 1 if a run was not exact."""
    console = Console(stderr=True)
    chosen = [name.strip() for name in only.split(",") if name.strip()] or list(BENCHES)
    unknown = sorted(set(chosen) - set(BENCHES))
    if unknown:
        raise typer.BadParameter(
            f"there is no bench {unknown[0]}; choose from {', '.join(BENCHES)}"
        )
    options = Options(
        say=lambda sentence: console.print(sentence, style="dim", highlight=False),
        rounds=rounds,
        events=events,
        peer_events=peer_events,
        warm_events=warm_events,
        processes=processes,
        rate=rate,
        seconds=seconds,
        publishes=publishes,
        earnings=earnings,
        payees=payees,
        payouts=payouts,
        limited_payouts=limited_payouts,
        lots=lots,
        codes=codes,
        check_rate=check_rate,
        cards=cards,
        pages=pages,
    )
    wanted, measured = goals(), list[Figure]()
    with ExitStack() as stack:
        lines = stack.enter_context(out.open("w") if out else nullcontext(sys.stdout))
        site = stack.enter_context(Site())
        machine = describe(site.endpoints)
        for name in chosen:
            for one in BENCHES[name](site, options):
                measured.append(one)
                lines.write(as_json(one, wanted) + "\n")
                lines.flush()
    console.print(f"\n{machine}\n", style="dim", highlight=False, soft_wrap=True)
    console.print(as_table(measured, wanted), highlight=False, soft_wrap=True, markup=False)
    if not all(one.exact for one in measured):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
