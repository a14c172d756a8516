"""Listings: what is installed and what can be run, failures included."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_plugins_is_a_table_with_the_failures_in_it(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("acme-broken", {"acme_broken": "import nowhere_to_be_found"}, {"main": "acme_broken"}, version="3.0")
    ended = gazecut("plugins")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "API", "FROM", "STATE"]
    assert any(line.split()[:5] == ["fusion", "contrastive", "1", "gazecut", "0.1.0"] for line in lines)
    assert lines[-1].endswith("acme-broken 3.0   not loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'")
    assert len({line.index("STATE") if "STATE" in line else lines[0].index("STATE") for line in lines}) == 1


def test_plugins_for_programs(gazecut: Any) -> None:
    rows = json.loads(gazecut("plugins", "--json").out)
    assert {"kind", "name", "api", "distribution", "version", "entry_point", "state", "summary"} == set(rows[0])
    assert ("selector", "threshold") in {(row["kind"], row["name"]) for row in rows}


def test_strict_fails_on_a_failure_only(gazecut: Any, plugin_folder: Any) -> None:
    assert gazecut("plugins", "--strict").status == 0
    plugin_folder.add("acme-broken", {"acme_broken": "1 / 0"}, {"main": "acme_broken"})
    ended = gazecut("plugins", "--strict")
    assert ended.status == 1
    assert "ZeroDivisionError" in ended.out


def test_why_shows_the_traceback(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("acme-broken", {"acme_broken": "value = 1 / 0"}, {"main": "acme_broken"})
    ended = gazecut("plugins", "--why", "acme-broken")
    assert ended.status == 0
    assert "value = 1 / 0" in ended.out
    ended = gazecut("plugins", "--why", "acme-brokn")
    assert ended.status == 2
    wanted = 'no plugin or component is called "acme-brokn"; not in order: acme-broken; did you mean "acme-broken"?'
    assert ended.err == f"gazecut: {wanted}\nEverything: gazecut plugins\n"


def test_a_broken_plugin_leaves_every_listing_at_work(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("acme-broken", {"acme_broken": "raise SystemExit(9)"}, {"main": "acme_broken"})
    assert gazecut("recipes").status == 0
    assert gazecut("recipe", "show", "pocket").status == 0
    assert gazecut("show", "selector", "threshold").status == 0


OPTIONS = """
from typing import Annotated, Literal
from pydantic import Field
from gazecut.options import Options

class Inner(Options):
    depth: Annotated[int, Field(gt=0, le=9)] = 2
    '''How deep.'''

class Config(Options):
    weights: str
    mode: Literal["soft", "hard"] | None = None
    inner: Inner = Inner(depth=4)
    keep: Literal["best"] | Inner = "best"
    sizes: list[int] = [1, 2]
    prefix: str = ""
    quote: str = 'say "hi"'
    share: Annotated[float, Field(ge=0, lt=1)] | bool = 0.5
    '''A share
    of all.'''

class Thing:
    pass
"""

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl
@hookimpl
def register_selector(register):
    register(ComponentSpec("grid", "made up", "acme_parts:Thing", "acme_parts:Config"))
    register(ComponentSpec("ghost", "made up", "acme_ghost:Thing", "acme_parts:Config"))
"""


def test_show_has_path_type_default_and_meaning_of_every_option(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("acme", {"acme_plugin": PLUGIN, "acme_parts": OPTIONS}, {"main": "acme_plugin"})
    ended = gazecut("show", "selector", "grid")
    assert ended.status == 0
    head, origin, *rest = ended.out.splitlines()
    assert head == "selector grid: made up"
    line = OPTIONS.splitlines().index("class Thing:") + 1
    assert origin == f"from acme 1.0, api 1, {plugin_folder.path / 'acme_parts.py'}:{line}"
    assert [" ".join(line.split()) for line in rest if line] == [
        "weights text required",
        "mode soft | hard | null default null",
        "inner.depth integer > 0 <= 9 default 4",
        "How deep.",
        "keep best | block default best",
        "keep.depth integer > 0 <= 9 default 2",
        "How deep.",
        "sizes list of integer default [1, 2]",
        'prefix text default ""',
        r'quote text default "say \"hi\""',
        "share number >= 0 < 1 | true | false default 0.5",
        "A share of all.",
    ]
    assert "acme 1.0, api 1, acme_ghost:Thing" in gazecut("show", "selector", "ghost").out


def test_show_of_a_component_without_options(gazecut: Any) -> None:
    assert gazecut("show", "selector", "argmax").out.endswith("\n\nIt has no options.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("show", "fusion", "contrastve"),
            'no fusion is called "contrastve"; installed: complementary, contrastive, soft-prompt; did you mean "contrastive"?',
        ),
        (("show", "fuson", "contrastive"), 'no kind is called "fuson"; there are: sampler, mllm, '),
        (("show", "fu\nson", "contrastive"), 'no kind is called "fu\\nson"; there are: sampler, mllm, '),
        (("show", "fusion", "\x1b[31mred"), 'no fusion is called "\\x1b[31mred"; installed: '),
        (("show", "fusion"), "missing argument 'NAME'.\nUsage: gazecut show [OPTIONS] {KIND} {NAME}\n"),
        (("plugins", "--why", "a\nb"), 'no plugin or component is called "a\\nb"; nothing is out of order'),
        (("recipe", "show", "poket"), 'no recipe is called "poket", and no file either; built in: decaf-'),
        (("recipe", "check", "missing.yaml"), "there is no recipe file missing.yaml; built in: "),
    ],
)
def test_wrong_names_exit_with_2_and_a_suggestion(gazecut: Any, arguments: tuple[str, ...], message: str) -> None:
    ended = gazecut(*arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.startswith(f"gazecut: {message}")
    assert "Traceback" not in ended.err


def test_recipes_lists_names_with_what_they_are(gazecut: Any) -> None:
    lines = gazecut("recipes").out.splitlines()
    assert any(line.startswith("pocket ") and "pocket world only" in line for line in lines)


def test_recipe_show_prints_a_recipe_that_can_be_run(gazecut: Any, workdir: Any) -> None:
    ended = gazecut("recipe", "show", "pocket", "--set", "selector.threshold=0.7")
    assert ended.status == 0
    (workdir / "mine.yaml").write_text(ended.out)
    checked = gazecut("recipe", "check", "mine.yaml")
    assert checked.status == 0
    assert checked.out.startswith("mine.yaml: no problems, ")
    assert gazecut("recipe", "show", "mine.yaml").out == ended.out


def test_recipe_check_shows_every_problem_with_its_place(gazecut: Any, workdir: Any) -> None:
    (workdir / "mine.yaml").write_text("version: 1\nextends: pocket\nselector: {use: treshold}\nsampler: {frames: none}\n")
    ended = gazecut("recipe", "check", "mine.yaml")
    assert ended.status == 2
    assert ended.err.startswith("gazecut: mine.yaml has 2 problems\n")
    assert (
        '  3:17  selector.use    no selector is called "treshold"; installed: argmax, threshold; did you mean "threshold"?\n' in ended.err
    )
    assert '  4:19  sampler.frames  found "none"; should be a valid integer\n' in ended.err
    assert ended.err.endswith("\n\nNothing was run.  Installed: gazecut plugins  Options: gazecut show sampler uniform\n")
