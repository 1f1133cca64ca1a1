"""Log lines, whoever writes them."""

import json
import subprocess
import sys

PROGRAM = """
import logging
import structlog
from payspool import logs

logs.configure("info", "json", process="worker")
try:
    raise RuntimeError("no such luck\\nDETAIL:  Failing row contains (jane@private.example).")
except RuntimeError as error:
    structlog.get_logger("ours").error("one", exc_info=error)
    structlog.get_logger("ours").exception("two")
    logging.getLogger("theirs").exception("three")
"""


def test_no_line_of_any_logger_quotes_a_row() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["one", "two", "three"]
    assert all("RuntimeError: no such luck" in line["exception"] for line in lines)
    assert "jane@private.example" not in ran.stderr
