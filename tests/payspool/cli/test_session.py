"""What every command prints: for people, without what their terminal would obey."""

import pytest

from payspool.cli import session

HIDES = "rent \x1b[2J\x9b1A\u202e\r1 payout paid"


def test_what_others_wrote_is_shown_and_not_obeyed_by_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session.show([{"reference": HIDES}], ["reference"], as_json=False, empty="")
    session.say(f"Reference {HIDES}")
    printed = capsys.readouterr().out
    assert printed.count("1 payout paid") == 2
    assert not set(printed) & set("\x1b\x9b\u202e\r")


def test_lines_tabs_and_letters_of_any_script_stay_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session.say("Ада\tSøren\u00a0B.\n日本")
    assert capsys.readouterr().out.expandtabs() == "Ада\tSøren\u00a0B.\n日本\n".expandtabs()
