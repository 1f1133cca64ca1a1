"""The commands that run processes: worker, relay, scheduler, courier, api, sandbox; and up and demo."""

from pathlib import Path
from typing import Annotated, Any

import typer

from payspool import instance, logs, settings
from payspool.settings import Settings


def worker(
    queue: Annotated[
        list[str] | None, typer.Option(help="queue to work on; repeatable; all by default")
    ] = None,
    threads: Annotated[int, typer.Option(help="messages worked on at a time", min=1, max=64)] = 8,
) -> None:
    """Run a worker process."""
    from payspool import runtime
    from payspool.metrics.listener import listening
    from payspool.metrics.work import WorkMetrics
    from queues.worker import run
    from workers import mirroring

    queues = tuple(queue or runtime.QUEUES)
    process = "worker " + ",".join(queues)
    found, metrics = _configured(process), WorkMetrics("worker")
    if queues == ("events",):
        threads = 1  # one batch is applied while the next is fetched; more processes go faster, not more threads
    rt = runtime.build(found, pool_size=threads + 1, process=process, watch=metrics)
    broker = runtime.build_broker(found, rt, queues)
    if "payouts" in queues:
        mirroring.at_start(rt)
    with listening(found, metrics):
        run(broker, queues, threads=threads)


def relay() -> None:
    """Run an outbox relay."""
    from payspool import runtime
    from payspool.metrics.listener import listening
    from payspool.metrics.work import WorkMetrics
    from workers.relay import run
    from workers.stopping import Stop

    stop = Stop().on_signals()
    found, metrics = _configured("relay"), WorkMetrics("relay")
    rt = runtime.build(found, pool_size=1, process="relay", watch=metrics)
    with listening(found, metrics):
        run(rt, stop)


def scheduler() -> None:
    """Run a scheduler. Any number may run; each fire happens once."""
    from payspool import runtime
    from payspool.metrics.listener import listening
    from payspool.metrics.work import WorkMetrics
    from workers.scheduler import run
    from workers.stopping import Stop

    stop = Stop().on_signals()
    found, metrics = _configured("scheduler"), WorkMetrics("scheduler")
    rt = runtime.build(found, pool_size=1, process="scheduler", watch=metrics)
    with listening(found, metrics):
        run(rt, stop)


def courier() -> None:
    """Run a courier, which sends webhooks. Any number may run."""
    from payspool import runtime
    from payspool.metrics.listener import listening
    from payspool.metrics.work import WorkMetrics
    from workers.courier import THREADS, Manner, run
    from workers.posting import Poster
    from workers.stopping import Stop

    stop = Stop().on_signals()
    found, metrics = _configured("courier"), WorkMetrics("courier")
    manner = Manner(Poster(runtime.reach(found)), runtime.secret_box(found))
    # A transaction is short and a request is long: few connections serve many threads.
    rt = runtime.build(found, pool_size=THREADS // 4, process="courier", watch=metrics)
    with listening(found, metrics):
        run(rt, stop, manner)


def api(
    host: Annotated[str | None, typer.Option(help="PAYSPOOL_API_HOST by default")] = None,
    port: Annotated[
        int | None, typer.Option(help="PAYSPOOL_API_PORT by default; 0: a free one")
    ] = None,
    port_file: Annotated[
        Path | None,
        typer.Option(help="take the next port if it is in use, and write here which one"),
    ] = None,
) -> None:
    """Run the HTTP API."""
    import uvicorn

    from payspool import serving
    from web.protocol import server_config

    found = _configured("api")
    app = serving.build_app(found)
    wanted = found.api_port if port is None else port
    with serving.listen(host or found.api_host, wanted, port_file) as listener:
        uvicorn.Server(server_config(app)).run(sockets=[listener])


def dashboard(
    host: Annotated[str | None, typer.Option(help="PAYSPOOL_DASHBOARD_HOST by default")] = None,
    port: Annotated[
        int | None, typer.Option(help="PAYSPOOL_DASHBOARD_PORT by default; 0: a free one")
    ] = None,
    port_file: Annotated[
        Path | None,
        typer.Option(help="take the next port if it is in use, and write here which one"),
    ] = None,
) -> None:
    """Run the operators' dashboard. `payspool users add` lets the first person in."""
    import uvicorn

    from payspool import serving
    from payspool.metrics.listener import listening
    from payspool.metrics.work import WorkMetrics

    found, metrics = _configured("dashboard"), WorkMetrics("dashboard")
    app = serving.build_dashboard(found)
    wanted = found.dashboard_port if port is None else port
    where = host or found.dashboard_host
    with (
        listening(found, metrics),
        serving.listen(where, wanted, port_file, variable="PAYSPOOL_DASHBOARD") as listener,
    ):
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who came is decided by PAYSPOOL_DASHBOARD_TRUSTED_PROXIES alone
            timeout_graceful_shutdown=2,  # sockets stay open for as long as a page is
        )
        uvicorn.Server(config).run(sockets=[listener])


def sandbox(
    data: Annotated[Path, typer.Option(help="where its books are kept")] = Path("var/sandbox"),
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free port")] = 12111,
    port_file: Annotated[
        Path | None, typer.Option(help="write the port here once it is listening")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="test key to accept, each of a platform of its own; repeatable"),
    ] = None,
    fund: Annotated[
        list[str] | None,
        typer.Option(help="what every platform has available at least, in minor units: usd:500000"),
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="a fault plan to start with (JSON)")] = None,
    seed: Annotated[
        int | None, typer.Option(help="the plan's seed, in place of its own", min=0)
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="begin with new books")] = False,
) -> None:
    """Run the local Stripe, and a local Wise beside it, by themselves. No money is moved."""
    from payspool.sandbox_client import SandboxRefused
    from sandbox.auth import DEFAULT_KEY
    from sandbox.errors import SandboxError
    from sandbox.server import serve
    from sandbox.start import Options, funds_of, plan_of
    from sandbox.wise.accounts import DEFAULT_TOKEN

    logs.configure("info", "text", process="sandbox")
    keys = tuple(key or (DEFAULT_KEY,))
    typer.echo(f"Stripe key: {', '.join(keys)}. Wise token: {DEFAULT_TOKEN}, under /wise.")
    typer.echo("Admin API: /_sandbox (docs/reference/sandbox.md). Ctrl-C ends it.")
    try:
        plan, funds = plan_of(faults, seed), funds_of(fund or ())
        options = Options(keys=keys, plan=plan, funds=funds, reset=reset)
        serve(data, host, port, port_file=port_file, options=options)
    except (SandboxError, OSError) as problem:
        raise SandboxRefused(str(problem)) from None


def migrate() -> None:
    """Bring the database to the newest schema (as the owner role)."""
    from migrations import apply

    found = _configured("migrate")
    if found.owner_database_url is None:
        raise settings.BadSettings(
            "PAYSPOOL_OWNER_DATABASE_URL is not set: migrations run as the owner of the schema."
        )
    typer.echo(f"The database is at revision {apply.upgrade(found.owner_database_url)}.")


def up(
    port: Annotated[
        int | None, typer.Option(help="of the API; PAYSPOOL_API_PORT by default")
    ] = None,
) -> None:
    """Run the whole pipeline here: embedded servers unless others are set, workers, scheduler, API."""
    from payspool import up as pipeline

    raise typer.Exit(pipeline.run(settings.load(), port))


def demo(
    once: Annotated[bool, typer.Option("--once", help="end after the summary")] = False,
    data: Annotated[
        Path | None, typer.Option(help="keep the demo's data here instead of the default place")
    ] = None,
) -> None:
    """Play a file of real purchases through the whole pipeline (see examples/README.md)."""
    from payspool.demo import run as play

    found = settings.load()
    if data is not None:
        found = found.model_copy(update={"data_dir": data.resolve()})
    raise typer.Exit(play.run(found, once=once))


def _configured(process: str) -> Settings:
    found = instance.resolve(settings.load())
    logs.configure(found.log_level, found.log_format, process=process)
    return found


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    commands: dict[Any, str] = {
        demo: "payspool demo --once",
        up: "payspool up",
        worker: "payspool worker --queue events",
        relay: "payspool relay",
        scheduler: "payspool scheduler",
        courier: "payspool courier",
        api: "payspool api --port 8300",
        dashboard: "payspool dashboard --port 8400",
        sandbox: "payspool sandbox --data var/sandbox --port 12111 --fund usd:500000",
        migrate: "payspool migrate",
    }
    for command, example in commands.items():
        app.command(epilog=f"Example: {example}")(command)
