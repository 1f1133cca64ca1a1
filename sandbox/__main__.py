"""`python -m sandbox --data DIR`: start the sandbox; Ctrl-C or SIGTERM ends it."""

import argparse
import logging
import sys
from pathlib import Path

from sandbox.auth import DEFAULT_KEY
from sandbox.errors import SandboxError
from sandbox.server import serve
from sandbox.start import Options, funds_of, plan_of
from sandbox.wise.accounts import DEFAULT_TOKEN


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A local Stripe that keeps its own books. No money is moved.",
        epilog="example: python -m sandbox --data var/sandbox --port 4242 --fund usd:500000",
    )
    parser.add_argument("--data", type=Path, required=True, help="where its books are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--port-file", type=Path, help="write the port here once listening")
    parser.add_argument(
        "--key",
        action="append",
        metavar="sk_test_…",
        help=f"test key to accept, each of a platform of its own (default {DEFAULT_KEY})",
    )
    parser.add_argument(
        "--webhook-pause", type=float, default=0.5, help="first pause after a failed webhook, s"
    )
    parser.add_argument(
        "--fund",
        action="append",
        default=[],
        metavar="usd:500000",
        help="what every platform has available at least, in minor units; may be repeated",
    )
    parser.add_argument("--faults", type=Path, help="a fault plan to start with (JSON)")
    parser.add_argument("--seed", type=int, help="the plan's seed, in place of its own")
    parser.add_argument("--reset", action="store_true", help="begin with new books")
    parser.add_argument(
        "--wise-token", default=DEFAULT_TOKEN, help=f"of the local Wise (default {DEFAULT_TOKEN})"
    )
    return parser.parse_args()


def main() -> int:
    """Serve and return the exit status."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        serve(
            arguments.data,
            arguments.host,
            arguments.port,
            port_file=arguments.port_file,
            options=Options(
                keys=arguments.key or (DEFAULT_KEY,),
                webhook_pause=arguments.webhook_pause,
                wise_token=arguments.wise_token,
                plan=plan_of(arguments.faults, arguments.seed),
                funds=funds_of(arguments.fund),
                reset=arguments.reset,
            ),
        )
    except (SandboxError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
