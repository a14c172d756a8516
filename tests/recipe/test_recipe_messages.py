"""What is said of the mistakes that people make: whole messages for the common ones, the row for the rest."""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gazecut.errors import RecipeError
from gazecut.plugins import discover
from gazecut.recipe import builtin_recipes, load_recipe
from gazecut.registry import Registry

BASE = "version: 1\nextends: base.yaml\n"
BUILT_IN = ", ".join(builtin_recipes())
KEYS = "version, about, extends, sampler, mllm, prompts, attribution, fusion, selector, segmenter, scorer, tracklets, exporters"


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, recipe_text: str) -> Any:
    """The message for a recipe, given as text or as bytes, beside base.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(recipe_text)

    def run(text: str | bytes, *overrides: str, using: Registry = registry) -> str:
        Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(RecipeError) as caught:
            load_recipe("r.yaml", overrides, using)
        return str(caught.value)

    return run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            BASE + "sampler: {frmes: 3}\n",
            """\
            r.yaml has 1 problem

              3:11  sampler.frmes  sampler "uniform" has no such option; did you mean "frames"?

            Nothing was run.  Options: gazecut show sampler uniform""",
            id="unknown option",
        ),
        pytest.param(
            BASE + "scorer:\n  keep:\n    abov: 3\n",
            """\
            r.yaml has 1 problem

              5:5  scorer.keep.abov  scorer "judge" has no such option in keep; did you mean "above"?

            Nothing was run.  Options: gazecut show scorer judge""",
            id="unknown option in a block that could be a word",
        ),
        pytest.param(
            BASE + "sampler: {frames: many}\nmllm: {view: both}\n",
            """\
            r.yaml has 2 problems

              3:19  sampler.frames  found "many"; should be a valid integer
              4:14  mllm.view       found "both"; should be 'video' or 'frame'

            Nothing was run.  Options: gazecut show sampler uniform  Options: gazecut show mllm small.v1""",
            id="wrong types",
        ),
        pytest.param(
            BASE + "selector: sigmo\n",
            """\
            r.yaml has 1 problem

              3:11  selector.use  no selector is called "sigmo"; installed: argmax, sigma; did you mean "sigma"?

            Nothing was run.  Installed: gazecut plugins""",
            id="unknown component",
        ),
        pytest.param(
            BASE + "mllm: large\n",
            """\
            r.yaml has 1 problem

              3:7  mllm  mllm "large" needs "weights"

            Nothing was run.  Options: gazecut show mllm large""",
            id="required option",
        ),
        pytest.param(
            BASE + "fusion: blur\nscorer: [judge]\n",
            """\
            r.yaml has 2 problems

              3:9  fusion  found "blur"; wanted a list of them, [NAME, {use: NAME, ...}]; installed: blur, blur.v2, mean
              4:9  scorer  found ["judge"]; wanted the name of one, or a block with "use"; installed: judge

            Nothing was run.""",
            id="list and block exchanged",
        ),
        pytest.param(
            "version: 1\nextends: base.yml\nsampler: {frames: 3}\n",
            f"""\
            r.yaml has 1 problem

              2:10  extends  there is no recipe file base.yml; built in: {BUILT_IN}

            Nothing was run.  Recipes: gazecut recipes""",
            id="no such parent",
        ),
        pytest.param(
            BASE + "sampeler: uniform\n",
            f"""\
            r.yaml has 1 problem

              3:1  sampeler  no such key; there are: {KEYS}; did you mean "sampler"?

            Nothing was run.""",
            id="unknown stage",
        ),
        pytest.param(
            BASE + "mllm:\n  weights: a\n  weights: b\n",
            """\
            r.yaml has 1 problem

              5:3  mllm.weights  stands here a second time; the first is at 4:3

            Nothing was run.""",
            id="a key twice",
        ),
        pytest.param(
            BASE + "mllm:\n\tweights: a\n",
            """\
            r.yaml has 1 problem

              4:1  not YAML: a tab; indent with spaces

            Nothing was run.""",
            id="tab",
        ),
        pytest.param(
            BASE + "mllm:\n  weights: a\n view: video\n",
            """\
            r.yaml has 1 problem

              5:2  not YAML: this does not fit the lines above; indent the entries of a block alike, put text in quotes

            Nothing was run.""",
            id="indentation",
        ),
        pytest.param(
            BASE + "about: mine: the second\n",
            """\
            r.yaml has 1 problem

              3:12  not YAML: a second ": " on one line; put a text that has one in quotes, and every key on its own line

            Nothing was run.""",
            id="colon in a text",
        ),
        pytest.param(
            BASE + "about: &a mine\nprompts: *a\n",
            """\
            r.yaml has 1 problem

              4:10  alias "*a" is not allowed; write the value out, or build on a recipe with "extends"

            Nothing was run.""",
            id="alias",
        ),
        pytest.param(
            "about: mine\nsampler: uniform\nmllm: {use: large, weights: a}\nprompts: decaf\nattribution: rollout\nselector: argmax\n",
            """\
            r.yaml has 3 problems

              1:1  version    missing; this gazecut reads version 1
              1:1  segmenter  missing; every recipe names its segmenter; installed: classical
              1:1  scorer     missing; every recipe names its scorer; installed: judge

            Nothing was run.  Complete recipes to extend: gazecut recipes""",
            id="missing stages",
        ),
    ],
)
def test_common_mistakes(said: Any, text: str, message: str) -> None:
    assert said(text) == inspect.cleandoc(message)


def test_a_wrong_setting(said: Any) -> None:
    assert said(BASE, "frames=3", "fusion.blur.sigma=-1") == inspect.cleandoc(
        """\
        r.yaml has 2 problems

          --set  frames             no stage is called "frames"; there are: about, sampler, mllm, prompts, attribution, fusion, selector, \
segmenter, scorer, tracklets, exporters; did you mean "sampler.frames"?
          --set  fusion.blur.sigma  found -1; should be greater than 0

        Nothing was run.  Options: gazecut show fusion blur"""
    )


def test_no_such_recipe(said: Any, registry: Registry) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("poket", registry=registry)
    assert str(caught.value) == (
        f'no recipe is called "poket", and no file either; built in: {BUILT_IN}; did you mean "pocket"?\nMore about each: gazecut recipes'
    )


def test_a_plugin_that_failed_may_provide_what_is_missing(said: Any, plugin_folder: Any) -> None:
    plugin_folder.add("acme-sam3", {"acme_sam3": "import sam3"}, {"main": "acme_sam3"}, version="0.2.0")
    assert said(BASE + "segmenter: sam3\n", using=discover(plugin_folder.distributions())) == inspect.cleandoc(
        """\
        r.yaml has 1 problem

          3:12  segmenter.use  no segmenter is called "sam3"; installed: classical
                               one plugin failed to load and may provide it:
                               acme-sam3 0.2.0, ModuleNotFoundError: No module named 'sam3'

        Nothing was run.  Why: gazecut plugins --why acme-sam3"""
    )


def test_a_component_whose_options_cannot_be_imported(said: Any, plugin_folder: Any) -> None:
    plugin = (
        "from gazecut.components import ComponentSpec, hookimpl\n"
        "@hookimpl\n"
        "def register_segmenter(register): register(ComponentSpec('broken', 'made up', 'nowhere:Thing', 'nowhere:Config'))\n"
    )
    plugin_folder.add("acme-more", {"acme_more": plugin}, {"main": "acme_more"})
    message = said(BASE + "segmenter: broken\n", using=discover(plugin_folder.distributions()))
    assert message.splitlines()[2].startswith('  3:12  segmenter.use  segmenter "broken" of acme-more 1.0 ')
    assert "No module named 'nowhere'" in message
    assert message.endswith("\n\nNothing was run.  Why: gazecut plugins --why broken")


ODD = (
    "from gazecut.components import ComponentSpec, hookimpl\n"
    "@hookimpl\n"
    "def register_segmenter(register): register(ComponentSpec('odd', 'made up', 'nowhere:Thing', 'acme_odd_config:Config'))\n"
)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("thing: Any = object()", "PydanticSerializationError: Unable to serialize unknown type: <class 'object'>"),
        ("most: float = float('inf')", "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_options_that_no_run_could_record_are_a_problem_of_their_component(said: Any, plugin_folder: Any, option: str, why: str) -> None:
    config = f"from typing import Any\nfrom gazecut.options import Options\nclass Config(Options):\n    {option}\n"
    plugin_folder.add("acme-odd", {"acme_odd": ODD, "acme_odd_config": config}, {"main": "acme_odd"})
    message = said(BASE + "segmenter: odd\n", using=discover(plugin_folder.distributions()))
    assert f'  3:12  segmenter  the options of segmenter "odd" cannot be recorded with a run: {why}' in message
    assert message.endswith("Nothing was run.  Options: gazecut show segmenter odd")


def test_a_validator_that_fails_for_another_reason_is_a_problem_of_its_component(said: Any, plugin_folder: Any) -> None:
    modules = {
        "acme_odd": ODD,
        "acme_odd_config": (
            "from pydantic import field_validator\n"
            "from gazecut.options import Options\n"
            "class Config(Options):\n"
            "    side: int = 1\n"
            "    @field_validator('side')\n"
            "    @classmethod\n"
            "    def _check(cls, side): return {}[side]\n"
        ),
    }
    plugin_folder.add("acme-odd", modules, {"main": "acme_odd"})
    message = said(BASE + "segmenter: {use: odd, side: 3}\n", using=discover(plugin_folder.distributions()))
    assert '  3:12  segmenter  the options of segmenter "odd" cannot be checked, its plugin raised KeyError: 3\n' in message


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (BASE + "mllm:\n", '3:6 mllm found null; wanted the name of one, or a block with "use"; installed: large, small.v1'),
        (BASE + "mllm: {use: ''}\n", '3:13 mllm.use found ""; wanted a name; installed: large, small.v1'),
        (BASE + "mllm: ''\n", '3:7 mllm.use found ""; wanted a name; installed: large, small.v1'),
        (BASE + "mllm: {use: [large]}\n", '3:13 mllm.use found ["large"]; wanted a name; installed: large, small.v1'),
        (BASE + "fusion: [{sigma: 2}]\n", '3:10 fusion.0 has no "use", which names the fusion; installed: blur, blur.v2, mean'),
        (BASE + "fusion:\n", "3:8 fusion found null; wanted a list of them, [NAME, {use: NAME, ...}]; installed: blur, blur.v2, mean"),
        (BASE + "mllm: {views: 3}\n", "3:15 mllm.views found 3; should be a block of options"),
        (BASE + "mllm: {size: 3}\n", "3:14 mllm.size found 3; should be a list"),
        (BASE + "mllm: {views: {frame: {tokens: x}}}\n", '3:32 mllm.views.frame.tokens found "x"; should be a valid integer'),
        (BASE + "scorer: {keep: {above: high}}\n", '3:24 scorer.keep.above found "high"; should be a valid number'),
        (BASE + "scorer: {keep: [1]}\n", "3:16 scorer.keep found [1]; should be 'best' or a block of options"),
        (BASE + "about: 3\n", "3:8 about found 3; wanted text"),
        (BASE + "tracklets:\n", "3:11 tracklets found null; should be a block of options"),
        (BASE + "tracklets: {use: x}\n", "3:13 tracklets.use the tracklet loop has no such option"),
        (BASE + "'': 3\n", f"3:1 no such key; there are: {KEYS}"),
        (BASE + "'a\\x1b\\nb': 3\n".replace("'", '"'), f"3:1 a\\x1b\\nb no such key; there are: {KEYS}"),
        (BASE + f"sampler: {{{'x' * 70}: 3}}\n", f'3:11 sampler.{"x" * 57}... sampler "uniform" has no such option'),
        ("version: '1'\nextends: base.yaml\n", '1:10 version found "1"; this gazecut reads version 1'),
        ("version: 1\nextends:\n", f"2:9 extends found null; wanted one file, relative to this one, or one built-in recipe: {BUILT_IN}"),
        ("version: 1\nextends: ..\n", f"2:10 extends .. is a folder; wanted a recipe file, or one that is built in: {BUILT_IN}"),
        ("version: 1\nextends: ''\n", f'2:10 extends no recipe is called "", and no file either; built in: {BUILT_IN}'),
        (
            'version: 1\nextends: "a\\0b"\n',
            f'2:10 extends no recipe is called "a\\x00b", and no file either; built in: {BUILT_IN}',
        ),
        (
            BASE + "sampler: {frames: " + "9" * 5000 + "}\n",
            "3:19 sampler.frames too large for an integer; the largest is 9223372036854775807",
        ),
        (
            BASE + "sampler: {frames: -12345678901234567890}\n",  # its first 19 digits would fit
            "3:19 sampler.frames too large for an integer; the largest is 9223372036854775807",
        ),
        (
            BASE + "sampler: {frames: +12345678901234567890}\n",
            "3:19 sampler.frames too large for an integer; the largest is 9223372036854775807",
        ),
        (BASE + "fusion: [{use: blur, sigma: 1e400}]\n", "3:29 fusion.0.sigma too large for a number"),
        (BASE + "fusion: [{use: blur, sigma: .inf}]\n", '3:29 fusion.blur.sigma found ".inf"; should be a valid number'),
        (
            BASE + "mllm: {<<: {weights: x}}\n",
            '3:8 mllm.<< merge keys are not allowed; write the value out, or build on a recipe with "extends"',
        ),
        (BASE + 'about: "\\ud800"\n', "3:8 about half a character: an escape from \\ud800 to \\udfff stands alone"),
        (BASE + 'about: "\\U00110000"\n', "3:11 this escape names no character; the last is U+10FFFF"),
        (BASE + 'about: "open\n', "3:8 not YAML: a quote is opened here and never closed"),
        (BASE + "about: @x\n", '3:8 not YAML: "@" cannot begin a plain text; put the text in quotes'),
        (BASE + "fusion: [blur mean\nabout: x\n", '4:6 not YAML: a comma is missing here, or a "]" before this'),
        (BASE + "about\n", '3:1 not YAML: a line without ":"; wanted "key: value"'),
        (BASE + "fusion: [, blur]\n", '3:10 not YAML: a value is missing before ","'),
        (BASE + "about: &a x\nprompts: &a decaf\n", '4:10 not YAML: anchor "&a" stands here a second time'),
        (BASE + "about: a\0b\n", "3:9 character U+0000 is not allowed in YAML"),
        ((BASE + "about: café\n").encode("latin-1"), "3:11 byte 0xe9 is not text in UTF-8; save the file in that encoding"),
        (BASE.encode("utf-16"), "1:1 byte 0xff is not text in UTF-8; save the file in that encoding"),
        (b"\x89PNG\r\n\x1a\n\0\0", "1:1 byte 0x89 is not text in UTF-8; save the file in that encoding"),
        (BASE + "---\n" + BASE, "3:1 not YAML: a second document begins; a recipe is one"),
        ("# nothing but this\n", '1:1 found nothing; wanted "version: 1" and one block per stage'),
        (BASE + "about: " + "[" * 100, "3:39 nested deeper than 32 levels"),
        (
            BASE + "a: &a [x, x]\nb: &b [*a, *a]\n",
            '4:8 alias "*a" is not allowed; write the value out, or build on a recipe with "extends"',
        ),
        (BASE + "#" * 20000, "more than 16384 characters; a recipe is a page of options, data belongs in other files"),
    ],
)
def test_the_rest_of_the_mistakes(said: Any, content: str | bytes, row: str) -> None:
    first, _, *rows, _, _ = said(content).split("\n")
    assert first == "r.yaml has 1 problem"
    assert [" ".join(line.split()) for line in rows] == [row]


@pytest.mark.parametrize(
    "text", [f"\ufeff{BASE}", BASE.replace("\n", "\r\n"), f"---\n{BASE}...\n", f"%YAML 1.2\n---\n{BASE}", f"about: &a x\n{BASE}"]
)
def test_what_does_no_harm_is_taken(said: Any, registry: Registry, text: str) -> None:
    Path("r.yaml").write_text(text, newline="")
    assert load_recipe("r.yaml", registry=registry).sampler.options.model_dump() == {"frames": 4}


def test_names_and_paths_that_no_file_can_have(said: Any, registry: Registry) -> None:
    Path("folder.yaml").mkdir()
    for name, message in (
        ("folder.yaml", "folder.yaml is a folder; wanted a recipe file, or one that is built in: "),
        ("base.yaml/r.yaml", "there is no recipe file base.yaml/r.yaml; built in: "),
        ("", 'no recipe is called "", and no file either; built in: '),
        ("x" * 300, f"the recipe file {'x' * 300} cannot be read: File name too long"),
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe(name, registry=registry)
        assert str(caught.value).startswith(message)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
def test_a_file_that_cannot_be_read(registry: Registry) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("/proc/self/mem", registry=registry)
    assert str(caught.value) == "the recipe file /proc/self/mem cannot be read: Input/output error"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_recipe_may_come_through_a_pipe(said: Any, registry: Registry) -> None:
    reading, writing = os.pipe()
    os.write(writing, Path("base.yaml").read_bytes())
    os.close(writing)
    assert load_recipe(f"/dev/fd/{reading}", registry=registry).about == "made up"
    os.close(reading)


def test_a_long_line_of_parents_ends(said: Any, registry: Registry) -> None:
    for number in range(30):
        Path(f"p{number}.yaml").write_text(f"extends: p{number + 1}.yaml\n")
    assert "  extends  more than 16 recipes in a row; wanted fewer\n" in said("version: 1\nextends: p0.yaml\n")


def test_what_a_parent_that_is_missing_would_say_is_not_missed(said: Any) -> None:
    assert said("extends: nowhere\nmllm: {weights: x}\n").startswith("r.yaml has 1 problem\n")


def test_a_report_stays_short_however_much_is_wrong(said: Any) -> None:
    lines = said(BASE + "".join(f"key{number}: 1\n" for number in range(1000))).splitlines()
    assert lines[0] == "r.yaml has 1000 problems"
    assert len(lines) == 45
    assert lines[2].startswith("  3:1   key0 ")
    assert lines[-3] == "  ... and 960 more"


def test_many_plugins_that_failed_are_counted(said: Any, plugin_folder: Any) -> None:
    for number in range(30):
        plugin_folder.add(f"acme-{number:02}", {f"acme_{number:02}": "import nowhere"}, {"main": f"acme_{number:02}"})
    lines = said(BASE + "segmenter: sam3\n", using=discover(plugin_folder.distributions())).splitlines()
    assert lines[3].strip() == "30 plugins failed to load and may provide it:"
    assert lines[4].strip() == "acme-00 1.0, ModuleNotFoundError: No module named 'nowhere'"
    assert len(lines) <= 16


@pytest.mark.parametrize(
    ("before", "mistake", "behind", "most"),
    [
        ("sampler: {", "k{}: 1, ", "}", 1500),
        ("mllm: {size: [", "{}x,", "]}", 1),
        ("mllm: {names: [", "{}x,", "]}", 2000),
        ("fusion: [", "x{},", "]", 2000),
        ("", "k{}: 1\n", "", 1500),
    ],
)
def test_a_recipe_full_of_mistakes_is_refused_in_time(said: Any, before: str, mistake: str, behind: str, most: int) -> None:
    full = BASE + before + "".join(mistake.format(number) for number in range(max(most, 1500))) + behind + "\n"
    assert len(full) < 2**14
    started = time.process_time()
    assert f" {most} problem" in said(full).splitlines()[0]
    assert time.process_time() - started < 1


def test_plain_data_is_bounded_too(registry: Registry) -> None:
    endless: dict[str, Any] = {"version": 1}
    endless["about"] = endless
    with pytest.raises(RecipeError, match=r"  about\.about\.about  nested deeper than 32 levels"):
        load_recipe(endless, registry=registry)
    with pytest.raises(RecipeError, match=r"overrides +sampler\.frames +too large for an integer; the largest is 9223372036854775807"):
        load_recipe("pocket", {"sampler.frames": 10**5000}, registry)


def test_numbers_of_numpy_are_numbers(said: Any, registry: Registry) -> None:
    numpy = pytest.importorskip("numpy")
    recipe = load_recipe("base.yaml", {"sampler.frames": numpy.int64(3), "fusion.blur.sigma": numpy.float32(0.5)}, registry)
    assert (recipe.sampler.options.model_dump(), recipe.fusion[0].options.model_dump()["sigma"]) == ({"frames": 3}, 0.5)
    with pytest.raises(RecipeError, match=r"sampler\.frames +found true; should be a valid integer"):
        load_recipe("base.yaml", {"sampler.frames": numpy.True_}, registry)


def test_an_emoji_written_as_json_does_is_one_character(said: Any, registry: Registry) -> None:
    Path("r.yaml").write_text(BASE + 'about: "\\ud83d\\ude00"\n')
    assert load_recipe("r.yaml", registry=registry).about == "\U0001f600"
