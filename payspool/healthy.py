"""``python -m payspool.healthy http://127.0.0.1:9300/healthz``: a container's health check.

Ends with 0 if the address answers 200 within two seconds. It loads next to nothing, because it is
started every few seconds beside each process.
"""

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

SECONDS = 2.0


def main() -> int:
    """The exit status; what is wrong goes to standard error."""
    address = urlsplit(sys.argv[1])
    connection = HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        body = answer.read(2_000).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{sys.argv[1]}: {error}\n")
        return 1
    finally:
        connection.close()
    if answer.status != 200:
        sys.stderr.write(f"{sys.argv[1]}: {answer.status} {body}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
