"""`python -m sandbox --data DIR`: start the sandbox; Ctrl-C or SIGTERM ends it."""

import argparse
import logging
import sys
from pathlib import Path

from sandbox.auth import DEFAULT_KEY
from sandbox.errors import SandboxError
from sandbox.server import serve


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A local Stripe that keeps its own books. No money is moved.",
        epilog="example: python -m sandbox --data var/sandbox --port 4242",
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
            keys=arguments.key or (DEFAULT_KEY,),
            webhook_pause=arguments.webhook_pause,
        )
    except (SandboxError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
