"""Requests that cannot be met: exit 2, one message that says what to do, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from huggingface_hub import constants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gazecut.recipe.sources import builtin_recipes
from gazecut.world import render
from gazecut.world.files import write_video

GOOD = ("segment", "clip.mp4", "the red circle")
LONG = "x" * 300
RECIPES = {
    "twice": "version: 1\nextends: pocket\nselector: argmax\nselector: threshold\n",
    "alias": "version: 1\nextends: pocket\nselector: &a argmax\nscorer: *a\n",
    "circle": "version: 1\nextends: circle.yaml\n",
    "version": "version: 2\nextends: pocket\n",
    "nothing": "",
    "list": "- a\n- b\n",
    "open": "version: 1\nselector: [\n",
    "tag": "version: 1\nextends: pocket\nselector: !!python/object:os.system {}\n",
    "bare": "version: 1\nprompts: decaf\n",
    "stage": "version: 1\nextends: pocket\nsegmentor: classical\n",
    "orphan": "version: 1\nextends: nowhere\n",
    "prompts": "version: 1\nextends: pocket\nprompts: decav\n",
    "nameless": "version: 1\nextends: pocket\nfusion: [{sigma: 1}]\n",
    "two": "version: 1\nextends: pocket\nsampler: {use: uniform, frames: -1}\nscorer: {use: atention-consistency}\n",
}
NEEDY = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_selector(register):
    register(ComponentSpec(name="needy", summary="Needs what is not there", target="needy:Needy", config="gazecut.options:Options",
        api=1, needs="gazecut-needy[all]", requires=("no_such_module",)))
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, one good and the others each wrong in one way."""
    folder = tmp_path_factory.mktemp("material")
    write_video(folder / "clip.mp4", render(90_001, frames=12, size=64).frames, fps=12)
    _write_clips(folder, (folder / "clip.mp4").read_bytes())
    for name in ("no_images", "void", "full", "no_config"):
        (folder / name).mkdir()
    (folder / "no_images" / "notes.txt").write_text("nothing to see")
    (folder / "full" / "mine.txt").write_text("mine")
    (folder / "taken").write_text("mine")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    for name, text in RECIPES.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00version")
    (folder / "broken.py").write_text("raise RuntimeError('boom')\n")
    (folder / "needy.py").write_text(NEEDY)
    for name, text in {"qwen2": '{"model_type": "qwen2_vl"}', "unknown": '{"model_type": "gpt_99"}', "torn": "{"}.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(text)
    return folder


def _write_clips(folder: Path, content: bytes) -> None:
    (folder / "truncated.mp4").write_bytes(content[: len(content) // 2])
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("hello\n" * 50)
    (folder / "text.png").write_text("not an image")
    for name, sizes in {"torn_images": ((8, 8), (8, 8)), "mixed": ((8, 8), (8, 9))}.items():
        (folder / name).mkdir()
        for number, size in enumerate(sizes):
            Image.new("RGB", size).save(folder / name / f"{number}.png")
    torn = folder / "torn_images" / "1.png"
    torn.write_bytes(torn.read_bytes()[:40])
    with av.open(str(folder / "no_frames.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with av.open(str(folder / "audio.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        container.mux(sound.encode(frame))
        container.mux(sound.encode())


@pytest.fixture
def inputs(material: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with all inputs, and a hub cache that has one commit of one model; nobody is asked over the network."""
    shutil.copytree(material, workdir, symlinks=True, dirs_exist_ok=True)
    cached = workdir.parent / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cached.parent))
    return workdir


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts:
            yield str(path), path.read_bytes() if path.is_file() else b""


def refused(gazecut: Any, inputs: Path, arguments: tuple[str, ...]) -> str:
    """The message of a request that must be refused and must leave no trace."""
    before = list(everything(inputs))
    ended = gazecut(*arguments)
    assert (ended.status, ended.out) == (2, ""), ended.err
    assert ended.err.startswith("gazecut: ")
    assert ended.err.count("gazecut: ") == 1
    assert "Traceback" not in ended.err
    assert "this should not happen" not in ended.err
    assert list(everything(inputs)) == before
    return str(ended.err).removeprefix("gazecut: ").removesuffix("\n")


def setting(override: str) -> tuple[str, ...]:
    return (*GOOD, "--set", override)


def problem(where: str, message: str, hint: str = "", title: str = "pocket") -> str:
    return f"{title} has 1 problem\n\n  {where}  {message}\n\nNothing was run.{f'  {hint}' if hint else ''}"


SEGMENT_USAGE = "\nUsage: gazecut segment [OPTIONS] {VIDEO} {EXPRESSION}...\nMore about it: gazecut segment --help"
CURE = "It is damaged, cut short or no video. Check that it plays; if it does, write it anew: ffmpeg -i IN OUT.mp4"
SHAPE = 'wanted "stage.option=value", for example selector.threshold=0.7'
WHOLE = [
    (
        ("segmnt",),
        "no such command 'segmnt'. Did you mean 'segment'?\nUsage: gazecut [OPTIONS] COMMAND [ARGS]...\nMore about it: gazecut --help",
    ),
    (("segment",), f"missing argument 'VIDEO'.{SEGMENT_USAGE}"),
    (("segment", "clip.mp4"), f"missing argument 'EXPRESSION'.{SEGMENT_USAGE}"),
    (
        ("plugins", "--why", "sam2", "--json"),
        "--why tells of one plugin in words, --json lists all of them for programs; leave one of the two out.",
    ),
    ((*GOOD, "--resipe", "x"), f"no such option: --resipe (Possible options: --device, --recipe, --set){SEGMENT_USAGE}"),
    ((*GOOD, "--seed", "-1"), f"invalid value for '--seed': found \"-1\"; should be greater than or equal to 0{SEGMENT_USAGE}"),
    ((*GOOD, "--device", "gpu"), 'no device is called "gpu"; allowed: auto, cpu, cuda, cuda:0, cuda:1, ..., mps.'),
    (("segment", "clip.mp4", ""), 'the expression is empty; say what to segment, for example "the red circle".'),
    (("segment", "clip.mp5", "a"), 'there is no file or folder "clip.mp5"; did you mean "clip.mp4"?'),
    (("segment", "gone/clip.mp4", "a"), 'there is no file or folder "gone/clip.mp4", nor a folder "gone"; check the path.'),
    (("segment", "notes.txt", "a"), f'cannot read "notes.txt" as a video: Invalid data found when processing input. {CURE}'),
    (("segment", "audio.mp4", "a"), '"audio.mp4" holds no video, found audio; wanted a video file or a folder of images.'),
    (
        (*GOOD, "--recipe", "poket"),
        f'no recipe is called "poket", and no file either; built in: {", ".join(builtin_recipes())}; did you mean "pocket"?\n'
        "More about each: gazecut recipes",
    ),
    (
        setting("selector.treshold=1"),
        problem(
            "--set  selector.treshold",
            'selector "threshold" has no such option; did you mean "threshold"?',
            "Options: gazecut show selector threshold",
        ),
    ),
    (
        setting("sampler.frames=0"),
        problem("--set  sampler.frames", "found 0; should be greater than or equal to 1", "Options: gazecut show sampler uniform"),
    ),
    (setting("threshold"), problem("--set  threshold", SHAPE)),
    ((*GOOD, "--output", "taken"), 'cannot write results: "taken" is a file; give the path of a folder, which may be new.'),
    (
        (*GOOD, "--output", "full"),
        'cannot write results to "full": it holds mine.txt, which Gazecut did not write; wanted a folder that is new, empty or holds '
        "earlier results. Give another folder, or --force (in Python force=True) to write among them.",
    ),
    (
        (*GOOD, "--output", "dangling"),
        'cannot write results: "dangling" is a link that leads nowhere; give the path of a folder, which may be new.',
    ),
    (
        setting("mllm.weights=./nowhere"),
        'weights: no folder ./nowhere; wanted one with config.json and *.safetensors, or a hub id "owner/name".',
    ),
    (
        setting("mllm.weights=no_config"),
        "weights: folder no_config has no config.json; wanted a whole checkpoint: config.json, *.safetensors and the files of "
        "tokenizer and processor.",
    ),
    (
        setting("mllm.weights=qwen2"),
        'weights: folder qwen2 holds a model of type "qwen2_vl"; wanted "qwen2_5_vl". Set mllm.use to "qwen2-vl".',
    ),
    (
        (*GOOD, "--plugin", "broken.py"),
        "plugin broken.py was asked for, but not loaded: RuntimeError: boom\nWhy: gazecut plugins --plugin broken.py --why broken.py",
    ),
]
"""The most common slips, word for word."""

PARTS = [
    # arguments
    ((*GOOD, "--seed"), ["option '--seed' requires an argument", "gazecut --help"]),
    ((*GOOD, "--seed", "x"), ['found "x"; should be a valid integer', "gazecut segment --help"]),
    ((*GOOD, "--seed", "1.5"), ['found "1.5"; should be a valid integer']),
    ((*GOOD, "--device", "cuda:99"), ['device "cuda:99" is not here; this machine has: ', 'Choose one of them, or "auto".']),
    ((*GOOD, "--device", ""), ['no device is called ""']),
    (("segment", "clip.mp4", "the red circle", "  "), ["the expression is empty"]),
    (("segment", "clip.mp4", "the red circle \udcff"), ['the expression "the red circle \\udcff" holds a byte that is not UTF-8']),
    (("segment", "clip.mp4", "the circle", "\ud83d"), ['the expression "\\ud83d" holds', "give it as text in UTF-8"]),
    ((*GOOD, "--start", "soon"), ['start "soon" is no moment of a clip', "12.5", "240f"]),
    ((*GOOD, "--start", "5"), ['starts at "5"', "12 frames", "Start earlier."]),
    ((*GOOD, "--end", "0"), ['to "0" has no frames', "12 frames"]),
    ((*GOOD, "--every", "0"), ["'--every'", 'found "0"; should be greater than or equal to 1']),
    # files
    (("segment", "void", "a"), ['folder "void" has no images', ".png", "or a video file"]),
    (("segment", "no_images", "a"), ['folder "no_images" has no images', ".png", "or a video file"]),
    (("segment", "truncated.mp4", "a"), ['"truncated.mp4" is cut short', "ffmpeg -i"]),
    (("segment", "noise.mp4", "a"), ['cannot read "noise.mp4" as a video', "ffmpeg -i"]),
    (("segment", "empty.mp4", "a"), ['cannot read "empty.mp4" as a video', "ffmpeg -i"]),
    (("segment", "no_frames.avi", "a"), ['"no_frames.avi" holds a video stream without frames', "ffmpeg -i"]),
    (("segment", "text.png", "a"), ['cannot read the image "text.png"', "Replace or remove it."]),
    (("segment", "torn_images", "a"), ['cannot read the image "torn_images/1.png"', "Replace or remove it."]),
    (("segment", "mixed", "a"), ["0.png is 8x8, 1.png is 8x9", "wanted one size"]),
    (("segment", "dangling", "a"), ['"dangling" is a link that leads nowhere, to "nowhere"']),
    (("segment", "loop", "a"), ['"loop"']),
    (("segment", LONG, "a"), ["File name too long", "check the path"]),
    (("segment", "/dev/null", "a"), ['"/dev/null" is a device or a pipe', "a video file or a folder of images"]),
    # recipes
    ((*GOOD, "--recipe", "gone.yaml"), ["there is no recipe file gone.yaml", "gazecut recipes"]),
    ((*GOOD, "--recipe", "full"), ["full is a folder; wanted a recipe file", "gazecut recipes"]),
    ((*GOOD, "--recipe", "twice.yaml"), ["4:1  selector", "a second time; the first is at 3:1"]),
    ((*GOOD, "--recipe", "alias.yaml"), ['4:9  alias "*a" is not allowed', '"extends"']),
    ((*GOOD, "--recipe", "circle.yaml"), ["2:10  extends", "goes round in a circle: circle.yaml -> circle.yaml"]),
    ((*GOOD, "--recipe", "version.yaml"), ["1:10  version", "found 2; this gazecut reads version 1"]),
    ((*GOOD, "--recipe", "nothing.yaml"), ["1:1", 'found nothing; wanted "version: 1" and one block per stage']),
    ((*GOOD, "--recipe", "list.yaml"), ["1:1", 'found ["a", "b"]; wanted "version: 1" and one block per stage']),
    ((*GOOD, "--recipe", "notes.txt"), ["1:1", 'wanted "version: 1" and one block per stage']),
    ((*GOOD, "--recipe", "open.yaml"), ["3:1", "not YAML"]),
    ((*GOOD, "--recipe", "tag.yaml"), ["3:11", "is not allowed; recipes are plain YAML without tags"]),
    ((*GOOD, "--recipe", "bare.yaml"), ["6 problems", "selector     missing", "segmenter    missing"]),
    ((*GOOD, "--recipe", "stage.yaml"), ["3:1  segmentor  no such key", 'did you mean "segmenter"?']),
    ((*GOOD, "--recipe", "orphan.yaml"), ["2:10  extends", 'no recipe is called "nowhere"', "gazecut recipes"]),
    ((*GOOD, "--recipe", "prompts.yaml"), ["3:10  prompts", 'did you mean "decaf"?']),
    ((*GOOD, "--recipe", "nameless.yaml"), ["3:10  fusion.0", 'has no "use"']),
    ((*GOOD, "--recipe", "two.yaml"), ["2 problems", "3:33  sampler.frames", 'did you mean "attention-consistency"?']),
    ((*GOOD, "--recipe", "bytes.yaml"), ["not text in UTF-8"]),
    # overrides
    (setting("segmenter=clasical"), ['no segmenter is called "clasical"', 'did you mean "classical"?', "gazecut plugins"]),
    (setting("selector.threshold=high"), ['found "high"; should be a valid number']),
    (setting("fusion.contrastve.sigma=1"), ['fusion has no entry "contrastve"', 'did you mean "contrastive"?']),
    (setting("fusion.contrastive=1"), ['wanted "fusion.contrastive.option=value"']),
    (setting("=1"), [SHAPE]),
    (setting("selektor.threshold=1"), ['no stage is called "selektor"', 'did you mean "selector"?']),
    (setting("version=2"), ["version  cannot be set"]),
    (setting("selector.threshold=["), ["selector.threshold  not YAML"]),
    (setting("mllm.views.frame.scal=2"), ["no such option in views.frame", 'did you mean "scale"?']),
    (setting("exporters=masks"), ['found "masks"; wanted a list']),
    (setting("mllm.dtype=float8"), ['found "float8"; should be', "bfloat16"]),
    # weights
    (setting("mllm.weights=''"), ["mllm.weights", "at least 1 character"]),
    (setting("mllm.weights=taken"), ["taken is a file; wanted the folder that holds config.json"]),
    (setting("mllm.weights=unknown"), ['a model of type "gpt_99"; wanted "qwen2_5_vl"', "Choose weights of that family."]),
    (setting("mllm.weights=torn"), ["cannot load config.json of folder torn", "Check that the folder is complete."]),
    (setting("mllm.weights=some/other"), ['the hub does not give "some/other"', "Check the id, the revision and the network"]),
    (
        (*setting("mllm.weights=some/model"), "--set", "mllm.revision=v9"),
        ['the hub does not give "some/model" at v9', "Check the id, the revision and the network"],
    ),
    (setting("mllm.weights=package:nowhere/x"), ['no package "nowhere" is installed', "a folder or a hub id"]),
    (setting("mllm.weights=package:gazecut/x"), ['package "gazecut" has no folder "x"', "Reinstall the package."]),
    # output
    ((*GOOD, "--output", "taken/deeper"), ['"taken/deeper" lies below', "which is a file"]),
    ((*GOOD, "the star", "--output", "taken"), ['"taken/the-red-circle" lies below', "which is a file"]),
    ((*GOOD, "--output", "."), ['cannot write results to "."', " more, which Gazecut did not write", "--force"]),
    ((*GOOD, "--output", "loop"), ['"loop" is a link that leads nowhere']),
    ((*GOOD, "--output", LONG), ["File name too long; give a shorter path."]),
    # plugins
    ((*GOOD, "--plugin", "gone.py"), ["plugin gone.py was asked for, but not loaded", "there is no file gone.py"]),
    ((*GOOD, "--plugin", "needy.py", "--set", "selector=needy"), ['selector "needy" needs gazecut-needy[all]', "pip install"]),
    (("recipe", "check", "pocket", "--plugin", "broken.py", "--set", "selector=mine"), ["may provide it:", "RuntimeError: boom", "--why"]),
    (("plugins", "--plugin"), ["option '--plugin' requires an argument"]),
    (("plugins", "--why", "nobody"), ['"nobody"']),
    (("plugins", "--jsn"), ["no such option: --jsn", "--json", "gazecut plugins --help"]),
    (("plugins", "more"), ["unexpected extra argument", "gazecut plugins --help"]),
    (("show", "fusion"), ["missing argument 'NAME'", "gazecut show --help"]),
    (("show", "fusoin", "contrastive"), ['no kind is called "fusoin"', 'did you mean "fusion"?']),
    (("show", "fusion", "contrastve"), ['no fusion is called "contrastve"', 'did you mean "contrastive"?']),
    # the other commands
    (("recipe", "chek"), ["no such command 'chek'", "'check'", "gazecut recipe --help"]),
    (("recipe", "show", "poket"), ['no recipe is called "poket"', 'did you mean "pocket"?']),
    (("recipe", "check", "twice.yaml"), ["a second time"]),
    (("demo", "--output", "full"), ['cannot write results to "full": it holds mine.txt']),
    (("demo", "--device", "tpu"), ['no device is called "tpu"']),
    (("demo", "--seed", "-1"), ['found "-1"; should be greater than or equal to 0']),
    (("world", "rendr"), ["no such command 'rendr'", "'render'"]),
    (("world", "render", "--size", "8"), ['found "8"; should be greater than or equal to 32']),
    (("world", "render", "--size", "99999"), ['found "99999"; should be less than or equal to 4096']),
    (("world", "render", "--frames", "0"), ['found "0"; should be greater than or equal to 1']),
    (("world", "render", "--count", "0"), ['found "0"; should be greater than or equal to 1']),
    (("world", "render", "--output", "taken"), ['"taken/90000" lies below']),
    (("world", "score", "--recipe", "poket"), ['no recipe is called "poket"']),
    (("world", "score", "--scenes", "0"), ['found "0"; should be greater than or equal to 1']),
]


def named(value: object) -> str:
    return " ".join(value)[:80] if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("arguments", "message"), WHOLE, ids=named)
def test_common_slips_are_answered_word_for_word(gazecut: Any, inputs: Path, arguments: tuple[str, ...], message: str) -> None:
    assert refused(gazecut, inputs, arguments) == message


@pytest.mark.parametrize(("arguments", "words"), PARTS, ids=named)
def test_bad_input(gazecut: Any, inputs: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    message = refused(gazecut, inputs, arguments)
    assert [word for word in words if word not in message] == []


def test_the_table_is_long_enough() -> None:
    assert len(WHOLE) >= 20
    assert len({arguments for arguments, _ in WHOLE + PARTS}) == len(WHOLE) + len(PARTS) >= 60


def test_a_file_that_must_not_be_read(gazecut: Any, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:  # root may read anything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)
    assert refused(gazecut, inputs, ("segment", "clip.mp4", "a")).startswith('cannot read "clip.mp4" as a video: Permission denied.')


def test_a_folder_that_must_not_be_written(gazecut: Any, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gazecut.output.os.access", lambda path, mode: Path(path) != inputs / "void")
    wanted = 'cannot write results to "void/out": "{}" is not writable; give another folder or change its permissions.'
    assert refused(gazecut, inputs, (*GOOD, "--output", "void/out")) == wanted.format(inputs / "void")


def test_other_content_is_written_among_if_forced(gazecut: Any, inputs: Path) -> None:
    quick = ("--frames", "2", "--size", "64", "--output", "world")
    (inputs / "world" / "90000").mkdir(parents=True)
    (inputs / "world" / "90000" / "mine.txt").write_text("mine")
    assert "holds mine.txt" in refused(gazecut, inputs, ("world", "render", *quick))
    assert gazecut("world", "render", *quick, "--force").status == 0
    assert (inputs / "world" / "90000" / "mine.txt").read_text() == "mine"
    assert json.loads((inputs / "world" / "90000" / "scene.json").read_text())["seed"] == 90_000


NAMES = st.from_regex(r"[a-z][a-z.=\[\]{}:,-]{0,20}", fullmatch=True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(NAMES)
def test_no_override_whatsoever_ends_in_a_traceback(gazecut: Any, text: str) -> None:
    ended = gazecut("recipe", "check", "pocket", "--set", text)
    assert ended.status in (0, 2)
    assert "this should not happen" not in ended.err
