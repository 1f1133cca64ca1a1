"""Each guard against paying twice, and against paying what nobody approved, is taken away in a copy of
the checkout: then the named test fails. A guard that could go unnoticed would be no guard.

A row of a module of ``teeth`` names the guard, the file that holds it, the text that is replaced there and by what, and
the test that has to fail. In the checkout itself the same test passes, as every run of the suite shows.

`make teeth` takes all of them away, one after the other; the suite does so with the first TEETH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.guards.teeth import access, loyalty, referrals, runs, sending
from tests.guards.teeth.guard import Guard

pytestmark = pytest.mark.slow

GUARDS: Final = (
    *sending.GUARDS,
    *runs.GUARDS,
    *referrals.GUARDS,
    *loyalty.GUARDS,
    *access.GUARDS,
)
CHECKOUT: Final = Path(__file__).parents[2]
SECONDS: Final = 300
TEETH: Final = int(os.environ.get("TEETH", "3"))
COPIED: Final = (
    "payspool",
    "domain",
    "queues",
    "workers",
    "web",
    "sandbox",
    "clients",
    "migrations",
    "tests",
    "pyproject.toml",
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_and_its_test_are_where_its_row_says(guard: Guard) -> None:
    assert (CHECKOUT / guard.file).read_text(encoding="utf-8").count(guard.held) == 1
    module, _, name = guard.told_by.partition("::")
    told = (CHECKOUT / module).read_text(encoding="utf-8")
    assert not name or f"def {name.split('[')[0]}(" in told


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("teeth")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, made / name, ignore=ignored)
        else:
            shutil.copy(source, made / name)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("guard", GUARDS[:TEETH], ids=lambda guard: guard.name)
def test_without_it_a_test_fails(guard: Guard, copy: Path) -> None:
    file = copy / guard.file
    text = file.read_text(encoding="utf-8")
    assert text.count(guard.held) == 1, f"{guard.file} holds what is taken away, once"
    file.write_text(text.replace(guard.held, guard.gone), encoding="utf-8")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.told_by],
            cwd=copy,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        file.write_text(text, encoding="utf-8")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, f"nothing failed without it:\n{said[-3000:]}"
    assert "FAILED " in said, said[-3000:]


def _environment() -> dict[str, str]:
    """Ours, without what the outer run of pytest says of itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}
