"""Whatever a recipe says, it is a recipe or one message tells what is wrong: no traceback, no wait, no flood."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.errors import RecipeError
from gazecut.plugins import discover
from gazecut.recipe import Recipe, builtin_recipes, load_recipe
from gazecut.recipe.problems import Problems
from gazecut.recipe.tree import parse, plain

SECONDS = 1.0
MOST_LINES = 50

SHIPPED = [resources.files("gazecut").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8") for name in builtin_recipes()]
DATA = [plain(tree) for text in SHIPPED if (tree := parse(text, "", Problems(""))) is not None]
WORDS = sorted({word for text in SHIPPED for word in text.replace("{", " ").replace("}", " ").replace(":", " ").replace(",", " ").split()})
TOKENS = [
    *("&a ", "*a", "<<: ", "!!python/object:os.system ", "!!int ", "! ", "? ", ": ", "- ", "? :", "\t", "\0", "\x07", "\ufeff", "\u2028"),
    *("\x85", "\r", "\r\n", "\n", "\n ", "\n\n", "  ", "é", "\U0001f600", "'", '"', "|", "|\n", ">-", "%YAML 1.2\n", "%TAG ! x\n", "---\n"),
    *("...\n", "{", "}", "[", "]", ",", "#", " # ", "\\", '"\\ud800"', '"\\ud83d\\ude00"', '"\\U00110000"', '"\\UFFFFFFFF"', "'' : ", "~"),
    *("1e400", "-1e-400", "9" * 400, ".inf", ".nan", "true", "on", "null", "0x10", "[" * 40, "{a: " * 40, "- " * 40, "x" * 300),
    *("extends: pocket\n", "extends: ..\n", "extends: r.yaml\n", "version: 1\n", "use: ", "fusion: ", "exporters: [masks]\n", "mllm: "),
]

# Multiplied where they are used: the library prints what it draws from.
FLOODS = ["a,", "- a\n", "[],", "{},", "#", "9", "k: 1\n", ".a", "x"]

Judge = Callable[..., None]


@pytest.fixture(scope="session")
def judge(within: Any) -> Judge:
    """Loads a recipe, and fails unless that ends as it may."""
    registry = discover()

    def run(name: str, recipe: Any, overrides: Any = ()) -> None:
        started, loaded, text = time.process_time(), None, ""
        try:
            with within(20 * SECONDS):
                loaded = load_recipe(recipe, overrides, registry)
        except RecipeError as error:
            text = str(error)
        assert time.process_time() - started < SECONDS
        if loaded is None:
            assert name in text
            assert len(text) > len(name) + 20
            assert len(text.splitlines()) <= MOST_LINES
            assert all(line.isprintable() for line in text.split("\n"))
        else:
            assert isinstance(loaded, Recipe)
            expected = replace(loaded, name="recipe")
            assert load_recipe(loaded.filled(), registry=registry) == expected
            assert load_recipe(parsed(loaded.to_yaml(origins=True)), registry=registry) == expected

    return run


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file to write to."""
    return tmp_path_factory.mktemp("fuzz") / "r.yaml"


def parsed(text: str) -> Any:
    problems = Problems("again")
    tree = parse(text, "again", problems, most=len(text))
    assert problems.items == []
    assert tree is not None
    return plain(tree)


FLOOD = st.sampled_from(FLOODS).map(lambda unit: unit * 4000)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A shipped recipe after a few edits of its text."""
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 6))):
        lines = text.splitlines(keepends=True) or [""]
        at, line, other = (draw(st.integers(0, len(of) - 1)) for of in (text or " ", lines, lines))
        match draw(st.sampled_from(["insert", "word", "cut", "drop", "double", "swap", "shift", "join"])):
            case "insert":
                text = text[:at] + draw(st.sampled_from(TOKENS) | st.text(max_size=5) | FLOOD) + text[at:]
            case "word":
                text = text.replace(draw(st.sampled_from(WORDS)), draw(st.sampled_from(WORDS + TOKENS)), 1)
            case "cut":
                text = text[:at] + text[at + draw(st.integers(1, 20)) :]
            case "drop":
                text = "".join(lines[:line] + lines[line + 1 :])
            case "double":
                text = "".join([*lines[: line + 1], *lines[line : line + 1] * draw(st.sampled_from([1, 30])), *lines[line + 1 :]])
            case "swap":
                lines[line], lines[other] = lines[other], lines[line]
                text = "".join(lines)
            case "shift":
                text = "".join([*lines[:line], draw(st.sampled_from([" ", "  ", "\t", "- "])) + lines[line], *lines[line + 1 :]])
            case "join":
                text = "".join([*lines[:line], lines[line].rstrip("\n"), *lines[line + 1 :]])
    return text


@st.composite
def binaries(draw: st.DrawFn) -> bytes:
    """A recipe after a few edits of its bytes."""
    content = bytearray(draw(texts()).encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-32"])), "surrogatepass"))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(content)


TEXT = st.text(max_size=6) | st.sampled_from(WORDS + TOKENS)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8)


@st.composite
def structures(draw: st.DrawFn) -> Any:
    """A shipped recipe after a few edits of its data."""
    data: Any = deepcopy(draw(st.sampled_from(DATA)))
    for _ in range(draw(st.integers(1, 4))):
        holder, key = draw(st.sampled_from(list(slots(data)) or [(data, "about")]))
        value = holder.get(key) if isinstance(holder, dict) else holder[key]
        match draw(st.sampled_from(["replace", "drop", "rename", "wrap", "bury", "copy"])):
            case "replace":
                holder[key] = draw(JSON)
            case "drop" if isinstance(holder, dict):
                holder.pop(key, None)
            case "rename" if isinstance(holder, dict):
                holder[draw(TEXT)] = holder.pop(key, None)
            case "wrap":
                holder[key] = [value] * draw(st.sampled_from([1, 2, 50]))
            case "bury":
                holder[key] = {draw(TEXT): value}
            case _:
                other, name = draw(st.sampled_from(list(slots(data))))
                other[name] = deepcopy(value)
    return data


def slots(data: Any) -> Any:
    """Every holder with every key or index that a value stands at."""
    for key, value in list(data.items()) if isinstance(data, dict) else list(enumerate(data)):
        yield data, key
        if isinstance(value, dict | list):
            yield from slots(value)


PATHS = st.lists(st.sampled_from(WORDS) | TEXT, max_size=4).map(".".join) | FLOOD.map("mllm{}".format)
ASSIGNMENTS = st.builds("{}{}{}".format, PATHS, st.sampled_from(["=", "=", "=", "", ": ", "=="]), TEXT | JSON.map(json.dumps) | FLOOD)


# What these tests found, or would have.
FOUND = [
    "fusion: [{use: complementary, views: [" + "a," * 5000 + "]}]\n",
    'about: "\\U00110000"\n',
    'about: "\\ud800"\n',
    'sampler: {"\\ud800": 1}\n',
    "sampler: {frames: " + "9" * 5000 + "}\n",
    "mllm: {weights: " + "{a: " * 500 + "}" * 500 + "}\n",
    '"\\e[31mred\\n": 1\n',
    "prompts: ''\n",
    f"extends: {'a' * 5000}\n",
    'extends: "a\\0b"\n',
    "mllm: " + "x" * 10000 + "\n",
    "fusion: [" + "complementary, " * 1000 + "]\n",
]


@pytest.mark.parametrize("text", FOUND)
def test_texts_that_once_did_harm(judge: Judge, file: Path, text: str) -> None:
    for whole in (f"version: 1\nextends: pocket\n{text}", f"version: 1\n{text}"):
        file.write_text(whole, encoding="utf-8")
        judge(str(file), file)


@pytest.mark.parametrize(
    "overrides",
    [
        {"selector.threshold": 10**5000},
        {"threshold.\U00018d09": None},
        {3: 4},
        {"sampler": {"frames": [b"x"]}},
        {"sampler": {"\ud800": 1}},
        "selector.threshold=0.5",
        ["sampler.=3"],
        [".=[[["],
        ["="],
    ],
)
def test_overrides_that_once_did_harm(judge: Judge, overrides: Any) -> None:
    judge("pocket", "pocket", overrides)


@given(texts())
def test_any_text(judge: Judge, file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    judge(str(file), file)


@given(binaries())
def test_any_bytes(judge: Judge, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    judge(str(file), str(file))


@given(structures())
def test_any_data(judge: Judge, data: Any) -> None:
    judge("recipe", data)


@given(structures(), st.booleans())
def test_any_json(judge: Judge, file: Path, data: Any, escaped: bool) -> None:
    file.write_text(json.dumps(data, ensure_ascii=escaped), encoding="utf-8", errors="surrogatepass")
    judge(str(file), file)


@given(st.sampled_from(builtin_recipes()), st.lists(ASSIGNMENTS, max_size=4))
def test_any_setting(judge: Judge, name: str, overrides: list[str]) -> None:
    judge(name, name, overrides)


@given(st.sampled_from(builtin_recipes()), st.dictionaries(PATHS, JSON, max_size=4))
def test_any_override_in_python(judge: Judge, name: str, overrides: dict[str, Any]) -> None:
    judge(name, name, overrides)


@given(st.lists(texts(), min_size=2, max_size=3))
def test_any_text_on_top_of_others(judge: Judge, file: Path, chain: list[str]) -> None:
    for number, text in enumerate(chain):
        path = file.with_name(f"r{number}.yaml")
        path.write_text(f"extends: r{number + 1}.yaml\n{text}", encoding="utf-8", errors="surrogatepass", newline="")
    judge("r0.yaml", file.with_name("r0.yaml"))


@given(TEXT)
def test_any_name(judge: Judge, name: str) -> None:
    judge("recipe", name)
