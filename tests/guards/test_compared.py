"""Each public case of a double payment is acted out by a test that exists."""

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"
LINKED: Final = re.compile(r"\[(test_\w+)\]\((\.\./tests/[\w/]+\.py)\)")


def test_every_case_names_a_test_that_exists() -> None:
    rows = [
        line
        for line in (DOCS / "compared.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| Case |")
    ]
    assert len(rows) >= 11
    for row in rows:
        linked = LINKED.findall(row)
        assert linked, f"no test acts this out: {row}"
        for name, file in linked:
            assert f"def {name}(" in (DOCS / file).resolve().read_text(encoding="utf-8"), name
