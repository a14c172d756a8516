"""Signals become exceptions that unwind; those that get lost come again; those that are ignored stay ignored."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from gazecut.cli import signals as module
from gazecut.cli.signals import Signals, Stopped
from gazecut.interrupts import shielded

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    signals = Signals()
    signals.listen()
    yield signals
    signals.ended(0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status", "word"), [(2, 130, "interrupted"), (15, 143, "terminated"), (1, 129, "hung up")])
def test_each_has_its_status_and_word(listening: Signals, number: int, status: int, word: str) -> None:
    with pytest.raises(Stopped) as caught:
        signal.raise_signal(number)
    assert (caught.value.status, str(caught.value)) == (status, word)
    assert listening.stopped is caught.value


def test_a_second_one_does_not_disturb_what_unwinds(listening: Signals) -> None:
    def run() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped, match="interrupted"):
        run()


def test_one_that_a_library_swallows_comes_again(listening: Signals) -> None:
    swallowed: list[BaseException] = []

    def run() -> None:
        for _ in range(200):
            try:
                if not swallowed:
                    signal.raise_signal(signal.SIGTERM)
            except BaseException as error:  # noqa: BLE001  as libraries do
                swallowed.append(error)
            time.sleep(0.01)

    with pytest.raises(Stopped, match="terminated"):
        run()
    assert len(swallowed) == 1


def test_shielded_work_is_done_first(listening: Signals) -> None:
    done: list[str] = []

    def run() -> None:
        with shielded():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.15)  # longer than the patience
            done.append("all of it")

    with pytest.raises(Stopped):
        run()
    assert done


def test_what_the_parent_ignores_stays_ignored(listening: Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Signals().listen()
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_after_the_end_nothing_is_raised_and_a_hanging_end_cut_short(listening: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    listening.ended(3)
    for number in NUMBERS:
        signal.raise_signal(number)
    assert statuses == []
    time.sleep(0.15)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 3


def leave(status: int) -> None:
    raise SystemExit(status)
