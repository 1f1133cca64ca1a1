"""docs/how-to/test-your-own-stripe-code.md, walked through word for word."""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "test-your-own-stripe-code.md"
WRITTEN_PORTS = ("12111", "8899")


def free_ports(number):
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in taken]


@contextlib.contextmanager
def started(command, folder, port):
    """Run the page's own start command, by this interpreter, until the block ends."""
    words = shlex.split(command)
    assert words[:2] == ["payspool", "sandbox"]
    log = (folder / "log").open("wb")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, stdout=log, stderr=log, env=_environment()
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_sandbox", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def expected(block):
    """Return what the block's comments say that it prints: the texts before any explanation."""
    said = re.findall(r"print\(.*\)  # (.+)$", block, re.MULTILINE)
    return [re.split(r": (?=[a-z])", text)[0] for text in said if "->" not in text]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
def test_every_step_of_the_page_does_what_the_page_says(tmp_path, monkeypatch):
    text = PAGE.read_text()
    for written, free in zip(WRITTEN_PORTS, free_ports(2), strict=True):
        text = text.replace(written, free)
        if written == WRITTEN_PORTS[0]:
            port = free
    blocks = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("http.server.BaseHTTPRequestHandler.log_message", lambda *_: None)
    space = {}
    with started(blocks[0][1].strip(), tmp_path, port):
        for language, block in blocks[1:]:
            if language == "sh":
                done = subprocess.run(
                    ["sh", "-ec", f"{block.strip()} -sf"], capture_output=True, check=False
                )
                assert done.returncode == 0, (block, done)
                continue
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block, str(PAGE), "exec"), space)
            for line in expected(block):
                assert line in printed.getvalue().splitlines(), block
        space["receiver"].shutdown()
        space["receiver"].server_close()
