"""Rules for components of every kind, and what the rules of one kind are written with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, ClassVar, Generic, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from gazecut.components import API, ComponentSpec, Kind
from gazecut.errors import GazecutError
from gazecut.plugins import discover
from gazecut.plugins.given import place_of
from gazecut.plugins.heavy import HEAVY
from gazecut.protocols import Provenance, Runtime
from gazecut.registry import Component, Registry
from gazecut.testing.compare import difference, fingerprint

C = TypeVar("C")
T = TypeVar("T")

LONGEST_SUMMARY = 120  # characters; a listing shows one line

_IMPORTS = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    if name.endswith(".py"):
        from gazecut.plugins.given import load_file
        load_file(pathlib.Path(name))
    else:
        importlib.import_module(name)
print(*sys.modules)
"""


class PlannedError(Exception):
    """Raised to leave a session in the middle."""


class Conformance(Generic[C]):
    """Rules that a component of any kind keeps; the classes of the kinds add theirs.

    A subclass whose name starts with `Test` is collected by pytest.

    Attributes:
        kind: Its kind; the class of the kind says it.
        component: Its name, as recipes write it.
        options: Options that it cannot do without, or that keep it small.
        plugins: Plugins that are not installed: modules, dotted names of modules, or paths of .py files.
        runtime: Where it computes, for the kinds that do.
    """

    kind: ClassVar[Kind]
    component: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    plugins: ClassVar[Sequence[ModuleType | str | Path]] = ()
    runtime: ClassVar[Runtime] = Runtime("cpu")

    def test_name_is_text_in_a_recipe(self) -> None:
        """Its name is text to YAML too, without quotes."""
        read = yaml.safe_load(self.component)
        self.require(read == self.component, f"{self.component} is read as {read!r}", 'a name that YAML reads as text, such as "v2"')

    def test_api_is_the_one_of_this_kit(self) -> None:
        """It speaks the version of its kind's protocol that this kit checks."""
        spoken = self.declared().api
        self.require(spoken == API[self.kind], f"api {spoken}", f"api {API[self.kind]}")

    def test_summary_is_one_line(self) -> None:
        """Its summary is one line that a listing can show."""
        summary = self.declared().summary
        fits = bool(summary) and summary == " ".join(summary.split()) and len(summary) <= LONGEST_SUMMARY
        self.require(fits, repr(summary), f"1 to {LONGEST_SUMMARY} characters, on one line, single spaces")

    def test_defaults_build_or_say_what_is_missing(self) -> None:
        """Its options build from nothing, or the error names those that must be given."""
        missing: set[str] = set()
        try:
            self.config_class()()
        except ValidationError as error:
            problems = error.errors(include_url=False)
            others = [f"{_path(each['loc'])}: {each['msg']}" for each in problems if each["type"] != "missing"]
            self.require(not others, "; ".join(others), "defaults that pass their own checks")
            missing = {str(each["loc"][0]) for each in problems}
        ungiven = sorted(missing - set(self.options))
        self.require(not ungiven, f"no default for {', '.join(ungiven)}", "a default, or a value in `options` of the conformance class")

    def test_unknown_options_are_refused(self) -> None:
        """An option that it does not have is refused."""
        try:
            self.config_class()(**self.options, no_such_option=1)
        except ValidationError:
            return
        self.require(False, "no_such_option=1 was taken", "an error; derive the options from gazecut.options.Options")

    def test_options_outlive_a_manifest(self) -> None:
        """Its options, written to a manifest and read again, are the same."""
        config = self.config()
        written = json.dumps(config.model_dump(mode="json"), allow_nan=False)
        read = self.config_class().model_validate_json(written)
        self.require(read == config, f"{written} is read as {read!r}", repr(config))

    def test_schema_exports(self) -> None:
        """The JSON schema of its options exports."""
        schema = self.schema()
        self.require(schema.get("type") == "object", f"a schema of type {schema.get('type')}", "an object with one property per option")

    def test_every_option_is_described(self) -> None:
        """Every option says what it means."""
        schema = self.schema()
        models = {"": schema, **schema.get("$defs", {})}
        silent = [
            f"{model}.{name}".lstrip(".")
            for model, described in models.items()
            for name, option in described.get("properties", {}).items()
            # pydantic says nothing beside a reference where the model's own docstring says the same
            if not {"description": "", **models.get(option.get("$ref", "").removeprefix("#/$defs/") or "-", {}), **option}[
                "description"
            ].strip()
        ]
        self.require(not silent, f"nothing about {', '.join(silent)}", "a docstring below the option, or Field(description=...)")

    def test_declaring_imports_nothing_heavy(self) -> None:
        """Its plugin module and its options' module import no deep-learning library."""
        modules = tuple(map(place_of, (*self.declaring_modules(), self.config_class().__module__)))
        found = [name for name in imported_by(modules, tuple(sys.path)) if name in HEAVY]
        self.require(
            not found, f"{' and '.join(modules)} import {', '.join(found)}", "gazecut and pydantic; the rest belongs to the target's module"
        )

    @classmethod
    def registry(cls) -> Registry:
        """What is installed, and what `plugins` names.

        Raises:
            PluginError: One of `plugins` does not load.
        """
        return cls._once("registry", cls._discovered)

    @classmethod
    def _discovered(cls) -> Registry:
        registry = discover(modules=cls.plugins)
        registry.check_given()
        return registry

    @classmethod
    def found(cls) -> Component:
        """The component as the registry has it.

        Raises:
            PluginError: There is none of that name; says what is installed and what failed to load.
        """
        return cls.registry().component(cls.kind, cls.component)

    @classmethod
    def declared(cls) -> ComponentSpec:
        """The component as its plugin declares it."""
        return cls.found().spec

    @classmethod
    def declaring_modules(cls) -> tuple[str, ...]:
        """Names of the modules whose import declares it: the plugin's."""
        plugins = [loaded.plugin for loaded in cls.registry().loaded if loaded.origin == cls.found().origin]
        return tuple(plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__ for plugin in plugins)

    @classmethod
    def config_class(cls) -> type[BaseModel]:
        """The model of its options."""
        return cls.registry().config_class(cls.kind, cls.component)

    @classmethod
    def config(cls) -> BaseModel:
        """Its options: defaults, and what `options` says."""
        return cls.config_class().model_validate_json(json.dumps(dict(cls.options)))

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON schema of its options."""
        return cls.config_class().model_json_schema()

    @classmethod
    def build(cls) -> C:
        """A new one."""
        return cast(C, cls.registry().build(cls.kind, cls.component, cls.config(), cls.runtime))

    @classmethod
    def built(cls) -> C:
        """One that the rules share, since building may be expensive."""
        return cls._once("component", cls.build)

    @classmethod
    def teardown_class(cls) -> None:
        """Let go of it; pytest calls this."""
        cls._kept = {}

    _kept: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _once(cls, what: str, make: Callable[[], T]) -> T:
        if "_kept" not in cls.__dict__:
            cls._kept = {}
        if what not in cls._kept:
            cls._kept[what] = make()
        return cast(T, cls._kept[what])

    def require(self, holds: bool, found: object, allowed: str) -> None:
        """Fail, in the words of the rule that is being checked, unless something holds.

        Args:
            holds: Whether the rule is kept.
            found: What was found.
            allowed: What is allowed.
        """
        __tracebackhide__ = True
        if not holds:
            raise AssertionError(
                f'{self.kind} "{self.component}" ({self.found().origin}) breaks the rule: {self._rule()}\n'
                f"  found:   {found}\n  allowed: {allowed}"
            )

    def unchanged(self, before: Mapping[str, object], value: object, name: str) -> None:
        """Fail if a value is not what its fingerprint says."""
        __tracebackhide__ = True
        where = difference(before, fingerprint(value, name))
        self.require(where is None, f"{where} changed", "values that it only reads")

    def same(self, first: object, second: object, name: str, when: str) -> None:
        """Fail if two results differ in a bit."""
        __tracebackhide__ = True
        where = difference(fingerprint(first, name), fingerprint(second, name))
        self.require(where is None, f"{where} differs {when}", "the same to the bit")

    def check_refused(self, act: Callable[[], object], what: str) -> None:
        """Fail unless something is refused in Gazecut's words.

        Args:
            act: What is to be refused.
            what: What to call it.
        """
        __tracebackhide__ = True
        try:
            act()
        except GazecutError:
            return
        except Exception as error:  # noqa: BLE001  whatever else it raises is what was found
            self.require(False, f"{what} raised {type(error).__name__}: {error}", "a GazecutError that says what to do")
        self.require(False, f"{what} was answered", "a GazecutError that says what to do")

    def check_description(self, provenance: Provenance, peak: int) -> None:
        """Fail unless a component that computes says where and in which numbers."""
        __tracebackhide__ = True
        self.require(bool(provenance.device and provenance.dtype), provenance, "a device and a dtype")
        self.require(isinstance(peak, int) and peak >= 0, f"peak memory {peak!r}", "bytes, 0 where the device does not tell")

    def _rule(self) -> str:
        """First line of the docstring of the rule that is running."""
        names = (frame.f_code.co_name for frame in _callers(sys._getframe(1)))
        rule = getattr(self, next(name for name in names if name.startswith("test_")))
        return str(rule.__doc__).strip().splitlines()[0]


@lru_cache
def imported_by(modules: tuple[str, ...], path: tuple[str, ...]) -> tuple[str, ...]:
    """Names of everything that a fresh interpreter imports for these modules.

    Args:
        modules: Names of modules, or paths of .py files.
        path: Where they are found.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-c", _IMPORTS, *modules]
    return tuple(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split())


def _path(place: Sequence[int | str]) -> str:
    """Where in the options something is wrong."""
    return ".".join(map(str, place)) or "all together"


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
