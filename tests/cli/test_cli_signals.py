"""Signals become exceptions that unwind; those that get lost come again; those that are ignored stay ignored."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from gazecut.cli import signals as module
from gazecut.cli.signals import Signals, Stopped
from gazecut.interrupts import shielded

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """A run that a shell put into the background inherits signals that are ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """Catches signals, and is more patient than a test takes."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    signals = Signals()
    signals.listen()
    yield signals
    signals.ended(0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def impatient(listening: Signals, monkeypatch: pytest.MonkeyPatch) -> Signals:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    return listening


def stopped(signals: Signals, run: Callable[[], None]) -> Stopped:
    """What stops a command; none comes again after that, which would stop the tests."""
    try:
        run()
    except Stopped as error:
        signals.ended(0)
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(("number", "status", "word"), [(2, 130, "interrupted"), (15, 143, "terminated"), (1, 129, "hung up")])
def test_each_has_its_status_and_word(listening: Signals, number: int, status: int, word: str) -> None:
    error = stopped(listening, lambda: signal.raise_signal(number))
    assert (error.status, str(error)) == (status, word)
    assert listening.stopped is error


def test_a_second_one_does_not_disturb_what_unwinds(listening: Signals) -> None:
    done: list[str] = []

    def run() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            done.append("cleaned")

    assert stopped(listening, run).status == 130
    assert done


def test_one_that_a_library_swallows_comes_again(impatient: Signals) -> None:
    swallowed: list[BaseException] = []

    def run() -> None:
        for _ in range(1000):
            try:
                if not swallowed:
                    signal.raise_signal(signal.SIGTERM)
            except BaseException as error:  # noqa: BLE001  as libraries do
                swallowed.append(error)
            time.sleep(0.01)

    assert stopped(impatient, run).status == 143
    assert len(swallowed) == 1


def test_the_first_one_gives_the_status(impatient: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            time.sleep(0.1)  # somebody loses patience, too
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(impatient, "_again", lambda number: None)
    assert stopped(impatient, run).status == 130


def test_shielded_work_is_done_first(impatient: Signals) -> None:
    done: list[str] = []

    def run() -> None:
        with shielded():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.2)  # longer than the patience
            done.append("all of it")

    assert stopped(impatient, run).status == 143
    assert done


def test_what_the_parent_ignores_stays_ignored(listening: Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Signals().listen()
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_after_the_end_nothing_is_raised_and_a_hanging_end_cut_short(impatient: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    impatient.ended(3)
    for number in NUMBERS:
        signal.raise_signal(number)
    assert statuses == []
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    impatient.ended(3)

    def leave(status: int) -> None:
        raise InterruptedError(status)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(InterruptedError, match="3"):
        signal.raise_signal(signal.SIGTERM)
