"""How commands end: statuses, one message, tracebacks for those who ask; and how fast they begin."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import pytest

from gazecut.errors import BackendError
from gazecut.pipeline import Pipeline

HEAVY = ("torch", "transformers", "cv2", "av", "pycocotools", "safetensors")
LIGHT = (["--help"], ["--version"], ["plugins"], ["plugins", "--json"], ["recipes"], ["segment", "--help"])


def raising(error: BaseException) -> Any:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BackendError("the model fell asleep"), 1, "gazecut: the model fell asleep\n"),
        (KeyboardInterrupt(), 130, "gazecut: interrupted; nothing half-written was left\n"),
        (OSError(28, "No space left on device"), 1, "gazecut: OSError: [Errno 28] No space left on device\n"),
        (
            ValueError("odd"),
            1,
            "gazecut: this should not happen: ValueError: odd\nRun it again with --debug and report what it shows.\n",
        ),
    ],
)
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment",), "Missing argument"),
        (("segment", "clip.mp4"), "Missing argument"),
        (("segment", "clip.mp4", "a", "--seed", "x"), "--seed"),
        (("segment", "clip.mp4", "a", "--resipe", "x"), "--resipe"),
        (("segmnt",), "segmnt"),
        (("world", "render", "--size", "8"), "--size"),
    ],
)
def test_wrong_arguments_exit_with_2(gazecut: Any, workdir: Any, arguments: tuple[str, ...], words: str) -> None:
    ended = gazecut(*arguments)
    assert ended.status == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert list(workdir.iterdir()) == []


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


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -c 'from gazecut.cli import main; main()' plugins --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout[0], done.stderr) == ("[", "")
