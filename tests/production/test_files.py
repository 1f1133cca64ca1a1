"""The production files say what can be done: commands, settings, images, volumes, limits."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import PurePosixPath
from typing import Any

import pytest
import typer

from payspool.cli import app
from payspool.settings import Settings
from queues.worker import SHUTDOWN_SECONDS
from tests.production.composed import ROOT, compose, dockerfile, example, variables

FILLED = {name: value or "x" * 20 for name, value in example().items()}
FILE = compose(FILLED)
SERVICES: dict[str, Any] = FILE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("payspool:")}
SETTINGS = {f"PAYSPOOL_{name.upper()}" for name in Settings.model_fields}
MEBI = {"k": 2**-10, "m": 1, "g": 2**10}

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def parsed(arguments: list[str]) -> str:
    """The first word of the command that takes these arguments; raises a UsageError if none does."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("payspool", list(arguments))
    rest = list(arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)
    return arguments[0]


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def mebibytes(text: str) -> float:
    return float(text[:-1]) * MEBI[text[-1].lower()]


def test_the_services_are_those_of_the_design() -> None:
    assert SERVICES.keys() == {
        *("postgres", "valkey", "migrate", "api", "events", "payouts", "sweeps", "relay"),
        *("scheduler", "courier", "dashboard", "sandbox", "prometheus", "grafana"),
    }
    by_profile = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}
    assert by_profile == {
        "sandbox": ["sandbox"],
        "prometheus": ["metrics"],
        "grafana": ["metrics"],
    }
    assert SERVICES["scheduler"]["deploy"]["replicas"] == 2


@each_service
def test_every_image_is_pinned_by_a_tag(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert re.match(r"v?\d", tag), SERVICES[name]["image"]


@each_service
def test_every_service_is_bounded_restarted_watched_and_given_time_to_end(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert mebibytes(limits["memory"]) >= 256
    assert seconds(service["stop_grace_period"]) >= 30
    assert service["logging"]["options"]["max-size"]
    if name == "migrate":
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()


@each_of_ours
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    command = OURS[name]["command"]
    assert parsed(command) == command[0]
    with pytest.raises(Exception, match="No such option"):
        parsed([*command, "--unheard-of"])


@each_of_ours
def test_our_processes_have_no_rights_and_longer_than_a_worker_takes_to_end(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert seconds(service["stop_grace_period"]) > SHUTDOWN_SECONDS


@each_of_ours
def test_every_variable_is_a_setting_and_makes_usable_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = OURS[name]["environment"]
    assert environment.keys() <= SETTINGS
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PAYSPOOL_SECRET_KEYS", "")
    found = Settings()
    assert (found.embedded, found.sandbox) == ((name == "sandbox"), True)


def test_the_owner_of_the_schema_is_known_to_the_migration_only() -> None:
    owners = [n for n, one in OURS.items() if "PAYSPOOL_OWNER_DATABASE_URL" in one["environment"]]
    assert owners == ["migrate"]


def test_servers_are_ready_before_and_the_schema_is_there_before_what_needs_them() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in OURS.keys() - {"migrate", "sandbox"}:
        assert OURS[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "valkey": {"condition": "service_healthy"},
        }


def test_the_sandbox_is_reached_by_the_payout_worker_alone() -> None:
    sandbox = SERVICES["sandbox"]
    assert sandbox["network_mode"] == "service:payouts"
    assert "networks" not in sandbox
    assert "ports" not in sandbox
    port = sandbox["command"][sandbox["command"].index("--port") + 1]
    assert example()["PAYSPOOL_STRIPE_URL"] == f"http://127.0.0.1:{port}"


def test_the_servers_are_reached_from_inside_only() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to everyone: {port}"


def test_every_volume_network_and_secret_is_declared_and_used() -> None:
    mounts = [mount for one in SERVICES.values() for mount in one.get("volumes", ())]
    sources = {mount.split(":")[0] for mount in mounts}
    assert {source for source in sources if not source.startswith(".")} == FILE["volumes"].keys()
    for folder in (source for source in sources if source.startswith(".")):
        assert (ROOT / folder).is_dir()
    used = {network for one in SERVICES.values() for network in one.get("networks", ())}
    assert used == FILE["networks"].keys()
    asked = {secret for one in SERVICES.values() for secret in one.get("secrets", ())}
    assert asked == FILE["secrets"].keys()


def test_the_example_has_every_variable_and_nothing_secret() -> None:
    needed = variables()
    others = {"COMPOSE_PROFILES"}  # Compose's own
    assert example().keys() == needed.keys() | others
    for name, default in needed.items():
        value = example()[name]
        if name.endswith(("PASSWORD", "TOKEN", "KEYS")):
            assert (value, default) == ("", None), f"{name} has to be set by who deploys"
        elif default is not None:
            assert value == default, f"{name} says something else than Compose's default"


def test_a_secret_that_is_not_set_stops_compose() -> None:
    for name, default in variables().items():
        if default is None:
            with pytest.raises(KeyError, match=name):
                compose({**FILLED, name: ""})


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.splitlines())


def test_everything_that_the_image_copies_is_in_git_and_not_ignored() -> None:
    files = tracked()
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied: set[str] = set()
    for line in dockerfile():
        assert line.word != "ADD"
        if line.word == "COPY" and not line.rest.startswith("--from"):
            *sources, _ = line.words
            copied.update(sources)
    for source in copied:
        assert source in files or any(file.startswith(f"{source}/") for file in files), source
    assert copied == allowed


def test_what_is_ignored_stays_out_of_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*", "everything that is not named stays out: .git, .venv, .env, tests, var"
    for late in ("**/__pycache__", "**/.*"):
        assert lines.index(late) > max(n for n, line in enumerate(lines) if line.startswith("!"))
    assert "/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" not in tracked()


def test_the_image_copies_every_package_that_payspool_imports() -> None:
    packages = {
        PurePosixPath(file).parts[0] for file in tracked() if file.endswith("/__init__.py")
    } - {"clients", "tests", "bench"}
    copied = {line.words[0] for line in dockerfile() if line.word == "COPY"}
    assert packages <= copied
    assert {"clients/python", "pyproject.toml", "requirements.txt"} <= copied


def test_the_image_is_built_of_hashed_wheels_and_runs_as_nobody_special() -> None:
    lines = dockerfile()
    bases = [line.words[0] for line in lines if line.word == "FROM"]
    assert bases == ["python:3.13-slim", "python:3.13-slim"]
    installs = [line.rest for line in lines if line.word == "RUN" and "pip install" in line.rest]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]
    users = [line.rest for line in lines if line.word == "USER"]
    assert users == ["10001:10001"]
    (entrypoint,) = [json.loads(line.rest) for line in lines if line.word == "ENTRYPOINT"]
    assert entrypoint == ["payspool"]
    (default,) = [json.loads(line.rest) for line in lines if line.word == "CMD"]
    assert parsed(default) == "api"
    script = (ROOT / "deploy" / "payspool").read_text(encoding="utf-8").splitlines()
    assert script == ["#!/bin/sh", 'exec python -m payspool "$@"']


def commands_of_the_guide() -> list[str]:
    text = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    return re.findall(r"(docker (?:compose|build|run) [^#\n`]+)", text)


def test_the_guide_names_services_commands_and_files_that_exist() -> None:
    commands = commands_of_the_guide()
    assert len(commands) > 15
    for command in commands:
        for verb in ("exec", "run", "restart", "stop"):
            if words := re.match(rf"docker compose {verb} (?:(?:-e \S+|--rm|-T) )*(.+)", command):
                service, *rest = shlex.split(words[1])
                services = [service, *rest] if verb in ("restart", "stop") else [service]
                assert set(services) <= SERVICES.keys(), command
                if rest[:1] == ["payspool"]:
                    assert parsed(rest[1:]) == rest[1], command
        if scaled := re.search(r"--scale (\w+)=", command):
            assert scaled[1] in SERVICES
    text = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    for command in re.findall(r"`payspool ([^`]+)`", text):
        assert parsed(shlex.split(command)), command
    entry = "/docker-entrypoint-initdb.d/"
    assert any(command.endswith(f"{entry}10-roles.sh") for command in commands)
    assert (ROOT / "deploy" / "postgres" / "10-roles.sh").exists()


def test_the_guide_tells_the_limits_that_are_set() -> None:
    text = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    limits = sum(
        mebibytes(one["deploy"]["resources"]["limits"]["memory"])
        * int(one["deploy"].get("replicas", 1))
        for name, one in SERVICES.items()
        if name != "migrate"
    )
    assert f"all limits together are {round(limits / 1024)} GB" in text
    options = SERVICES["postgres"]["command"]
    connections = re.search(r"`max_connections`, (\d+) here", text)
    assert connections is not None
    assert f"max_connections={connections[1]}" in options
    assert f"up to {SHUTDOWN_SECONDS * 0.8:.0f} s" in text
