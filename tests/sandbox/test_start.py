"""What a sandbox starts with: funds, a plan from a file, new books; and who else may use them."""

import json
import subprocess
import sys
import urllib.request

import pytest

from sandbox.books import Books
from sandbox.server import running
from sandbox.start import BooksInUse, Options, StartRefused, funds_of, plan_of

KEYS = ("sk_test_first", "sk_test_second")


def ask(url, path, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url + path, None, headers)) as answer:
        return json.load(answer)


def held(url, key):
    return {b["currency"]: b["amount"] for b in ask(url, "/v1/balance", key)["available"]}


def test_funds_are_brought_up_to_the_amount_on_every_platform_and_not_beyond(tmp_path):
    options = Options(keys=KEYS, funds=funds_of(["usd:5000", "EUR:700"]))
    for _ in range(2):
        with running(tmp_path, options) as url:
            assert [held(url, key) for key in KEYS] == [{"eur": 700, "usd": 5000}] * 2
    with running(tmp_path, Options(keys=KEYS, funds={"usd": 9000})) as url:
        assert held(url, KEYS[0])["usd"] == 9000
    with Books(tmp_path) as books:
        assert books.check() == []


@pytest.mark.parametrize("text", ["5000", "usd", "usd:", "xxx:5", "usd:-5", "usd:0", "usd:1.5"])
def test_funds_that_are_not_written_right_are_refused_with_an_example(text):
    with pytest.raises(StartRefused, match="usd:500000"):
        funds_of([text])
    with pytest.raises(StartRefused, match="at most"):
        funds_of(["usd:9999999999999"])


def test_a_plan_from_a_file_is_in_force_from_the_first_request(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"seed": 1, "rules": [{"fault": "garbage", "path": "/v1/x"}]}))
    with running(tmp_path / "data", Options(plan=plan_of(file, 7))) as url:
        plan = ask(url, "/_sandbox/faults")
    assert (plan["seed"], plan["rules"][0]["fault"]) == (7, "garbage")
    assert plan_of(file, None)["seed"] == 1
    assert plan_of(None, None) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": [{"fault": "explode"}]}', None])
def test_a_file_that_holds_no_plan_is_refused_by_its_name(tmp_path, text):
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(StartRefused, match=r"plan\.json"):
        plan_of(file, None)
    with pytest.raises(StartRefused, match="--faults"):
        plan_of(None, 5)


def test_a_reset_begins_new_books_and_leaves_other_files_alone(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with running(tmp_path, Options(funds={"usd": 5000})) as url:
        first = ask(url, "/_sandbox")["platforms"][0]["id"]
    with running(tmp_path, Options(reset=True)) as url:
        status = ask(url, "/_sandbox")
    assert status["platforms"][0]["id"] != first
    assert status["platforms"][0]["balance"][0]["amount"] == 0
    assert other.read_text() == "mine"


def test_two_sandboxes_do_not_share_books(tmp_path):
    with running(tmp_path), pytest.raises(BooksInUse), running(tmp_path, Options(reset=True)):
        raise AssertionError("it started")
    with running(tmp_path) as url:
        assert ask(url, "/_sandbox/check")["ok"]


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "sandbox", "--data", str(tmp_path)]
    for wrong, said in (
        (["--fund", "lots"], b"usd:500000"),
        (["--faults", str(tmp_path / "none.json")], b"none.json"),
        (["--seed", "3"], b"--faults"),
        (["--wise-token", "x"], b"Wise token"),
    ):
        done = subprocess.run([*command, *wrong], capture_output=True, timeout=20, check=False)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
        assert b"Traceback" not in done.stderr


def test_help_of_both_commands_shows_an_example():
    for command in (["sandbox"], ["payspool", "sandbox"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--help"],
            capture_output=True,
            timeout=30,
            check=True,
        )
        assert b"--fund usd:500000" in done.stdout
        for option in (b"--data", b"--port", b"--seed", b"--faults", b"--reset", b"--key"):
            assert option in done.stdout
