"""How commands end: statuses, one message, tracebacks for those who ask; and how fast they begin."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from gazecut.cli.signals import Stopped
from gazecut.errors import BackendError
from gazecut.pipeline import Pipeline

HEAVY = ("torch", "transformers", "cv2", "av", "pycocotools", "safetensors")
LIGHT = (["--help"], ["--version"], ["plugins"], ["plugins", "--json"], ["recipes"], ["segment", "--help"])


def raising(error: BaseException) -> Any:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


BUG = "gazecut: this should not happen: {}\nRun it again with --debug and report what it shows.\n"
ENDS = [
    (BackendError("the model fell asleep"), 1, "gazecut: the model fell asleep\n"),
    (KeyboardInterrupt(), 130, "gazecut: interrupted; nothing half-written was left\n"),
    (Stopped(signal.SIGINT), 130, "gazecut: interrupted; nothing half-written was left\n"),
    (Stopped(signal.SIGTERM), 143, "gazecut: terminated; nothing half-written was left\n"),
    (Stopped(signal.SIGHUP), 129, "gazecut: hung up; nothing half-written was left\n"),
    (
        OSError(28, "No space left on device", "/tmp/x"),
        1,
        'gazecut: the system refused at "/tmp/x": No space left on device. --debug shows what was being done.\n',
    ),
    (BrokenPipeError(32, "Broken pipe"), 1, "gazecut: the system refused: Broken pipe. --debug shows what was being done.\n"),
    (OSError(5, "Input/output error"), 1, "gazecut: the system refused: Input/output error. --debug shows what was being done.\n"),
    (
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20 GiB."),  # as torch's is called
        1,
        "gazecut: out of memory on the device. Lower sampler.frames or take a smaller clip; --debug shows where it ended.\n",
    ),
    (MemoryError(), 1, "gazecut: out of memory. Lower sampler.frames or take a smaller clip; --debug shows where it ended.\n"),
    (ValueError("odd"), 1, BUG.format("ValueError: odd")),
    (AssertionError(), 1, BUG.format("AssertionError")),
    (OSError("odd"), 1, BUG.format("OSError: odd")),
    (SystemExit("a library gave up"), 1, BUG.format("SystemExit: a library gave up")),
]


@pytest.mark.parametrize(("error", "status", "message"), ENDS, ids=lambda value: type(value).__name__)
def test_every_end_is_one_message(gazecut: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, message: str) -> None:
    monkeypatch.setattr(Pipeline, "from_recipe", raising(error))
    ended = gazecut("segment", "clip.mp4", "the red circle")
    assert (ended.status, ended.out, ended.err) == (status, "", message)


@pytest.mark.parametrize("arguments", [("--debug", "segment", "c.mp4", "a"), ("segment", "c.mp4", "a", "--debug")])
def test_debug_shows_the_traceback_wherever_it_stands(gazecut: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr(Pipeline, "from_recipe", raising(BackendError("the model fell asleep")))
    ended = gazecut(*arguments)
    assert ended.status == 1
    assert "Traceback (most recent call last):" in ended.err
    assert ended.err.endswith("gazecut: the model fell asleep\n")


def test_the_environment_can_ask_for_the_traceback(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_recipe", raising(BackendError("the model fell asleep")))
    monkeypatch.setenv("GAZECUT_DEBUG", "1")
    assert "Traceback" in gazecut("segment", "c.mp4", "a").err


def test_behind_two_dashes_everything_is_text(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_recipe", raising(BackendError("the model fell asleep")))
    assert "Traceback" not in gazecut("segment", "c.mp4", "--", "--debug").err


@pytest.mark.parametrize("arguments", [(), ("recipe",), ("world",)])
def test_without_arguments_the_help_is_shown(gazecut: Any, arguments: tuple[str, ...]) -> None:
    ended = gazecut(*arguments)
    assert (ended.status, ended.err) == (2, "")
    assert f"Usage: {' '.join(('gazecut', *arguments))} [OPTIONS] COMMAND" in ended.out


def meddle(*arguments: object, **options: object) -> None:
    """All that a run may leave on standard error beside its end."""
    warnings.warn("an old option\nis used", UserWarning, stacklevel=1)
    logging.getLogger("some.library").error("it broke", exc_info=ValueError("why"))
    logging.getLogger("some.library").info("hello")
    thread = threading.Thread(target=raising(RuntimeError("lost the thread")))
    thread.start()
    thread.join()

    class Breaks:
        def __del__(self) -> None:
            raise RuntimeError("in a destructor")

    Breaks()
    raise BackendError("the model fell asleep")


@pytest.mark.filterwarnings("always")
def test_warnings_logs_and_threads_are_a_line_each(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_recipe", meddle)
    hooks = sys.unraisablehook, threading.excepthook, warnings.showwarning, list(logging.getLogger().handlers)
    lines = gazecut("segment", "c.mp4", "a").err.splitlines()
    assert lines[:3] == [
        "warning: an old option is used",
        "error: it broke",
        "error: a thread ended with RuntimeError: lost the thread",
    ]
    assert lines[3].startswith("warning: RuntimeError: in a destructor, in ")
    assert lines[4:] == ["gazecut: the model fell asleep"]
    text = gazecut("segment", "c.mp4", "a", "--debug").err
    assert text.count("Traceback (most recent call last):") == 3
    assert "some.library: INFO: hello" in text
    assert hooks == (sys.unraisablehook, threading.excepthook, warnings.showwarning, list(logging.getLogger().handlers))


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from gazecut.cli.app import run; status = run(sys.argv[1:]); "
        f"found = [name for name in {HEAVY} if name in sys.modules]; sys.exit(f'imported {{found}}' if found else status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["recipes"]], ids=" ".join)
def test_light_commands_answer_within_700_ms(arguments: list[str]) -> None:
    def seconds() -> float:
        # Time on the processor: what the clock on the wall says depends on the tests that run beside this one.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "from gazecut.cli import main; main()", *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.7


def test_importing_gazecut_is_light() -> None:
    code = "import sys, gazecut; gazecut.__version__; sys.exit(any(n in sys.modules for n in ('numpy', 'cv2', 'torch', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="module 'gazecut' has no attribute 'Pipelin'"):
        __import__("gazecut").Pipelin  # noqa: B018


@pytest.mark.parametrize(
    ("encoding", "name", "told"),
    [
        ("utf-8:strict", b"\xff.yaml", b"\xff.yaml"),  # what a terminal in English of the United States has
        ("utf-8:strict", "世.yaml".encode(), "世.yaml".encode()),
        ("latin-1", b"\xff.yaml", b"\xff.yaml"),
        ("latin-1", "é世.yaml".encode(), b"\xe9\\u4e16.yaml"),
    ],
)
def test_names_that_the_encoding_of_the_output_lacks_are_written_all_the_same(
    tmp_path: Path, encoding: str, name: bytes, told: bytes
) -> None:
    (tmp_path / os.fsdecode(name)).write_text("version: 1\nextends: pocket\n")
    command = [sys.executable, "-c", "from gazecut.cli import main; main()", "recipe", "check", os.fsdecode(name)]
    settings = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(told + b": no problems, ")


@pytest.mark.parametrize("reader", ["head -c 1 > first", "true"])
@pytest.mark.parametrize("arguments", ["plugins --json", "--help", "recipe schema"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, arguments: str, reader: str) -> None:
    command = f"{sys.executable} -c 'from gazecut.cli import main; main()' {arguments} | {reader}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
