"""Starting: a Ctrl-C is heard wherever it falls."""

import os
import signal
import weakref

import pytest

from payspool.pipeline import noting_interrupts


class Thing:
    """What a weak reference can be to."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_falls_into_a_callback_is_not_lost() -> None:
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    with noting_interrupts() as interrupted:
        del thing
    assert watched() is None
    assert interrupted == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_any_other_ends_what_is_started_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), noting_interrupts() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
    assert interrupted == [signal.SIGINT]
