"""Work that an interruption waits for, and where it comes through."""

from __future__ import annotations

import threading

import pytest

from gazecut.interrupts import exposed, postponed, shielded


class Signal(KeyboardInterrupt):
    """What a handler raises."""


def arrive() -> None:
    """A signal, as a handler treats it."""
    if not postponed(Signal()):
        raise Signal


def test_outside_of_shields_it_comes_at_once():
    with pytest.raises(Signal):
        arrive()


def test_within_it_waits_for_the_end_of_the_outermost():
    done = []

    def work() -> None:
        with shielded():
            with shielded():
                arrive()
                done.append("inner")
            done.append("outer")

    with pytest.raises(Signal):
        work()
    assert done == ["inner", "outer"]
    with shielded():
        done.append("it does not come twice")


def test_within_an_opening_it_comes_at_once_and_the_clean_up_is_shielded_again():
    done = []

    def work() -> None:
        with shielded():
            try:
                with exposed():
                    arrive()
                    done.append("never")
            finally:
                arrive()  # a second one
                done.append("cleaned")

    with pytest.raises(Signal):
        work()
    assert done == ["cleaned"]


def test_what_waits_is_raised_where_the_shield_opens():
    def work() -> None:
        with shielded():
            arrive()
            with exposed():
                raise AssertionError("the block must not begin")

    with pytest.raises(Signal):
        work()


def test_it_takes_the_place_of_an_error_and_keeps_it_as_context():
    def work() -> None:
        with shielded():
            arrive()
            raise ValueError("meanwhile")

    with pytest.raises(Signal) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_a_shield_in_one_thread_shields_no_other():
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with shielded():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    assert not postponed(Signal())
    leave.set()
    thread.join()
