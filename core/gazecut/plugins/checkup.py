"""Finds what is wrong with components before a recipe uses them: their options are looked at, they themselves are not imported."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gazecut.components import Kind
from gazecut.errors import PluginError
from gazecut.inventory import Component, Remark
from gazecut.modules import find_module
from gazecut.plugins.heavy import heavy_modules, held_modules, imported_remark
from gazecut.registry import Registry
from gazecut.wording import one_line

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, eq=False)
class Flaw:
    """A declared component that no recipe can use.

    Attributes:
        component: Which.
        error: What is wrong with it, with the traceback.
    """

    component: Component
    error: BaseException

    @property
    def reason(self) -> str:
        """One line: what is wrong."""
        return one_line(self.error)


@dataclass(frozen=True)
class Checkup:
    """Everything that is not as it should be.

    Attributes:
        flaws: By component.
        remarks: Of the registry, and of what was imported for the checkup.
        failures: How many plugins did not load.
    """

    flaws: dict[tuple[Kind, str], Flaw]
    remarks: tuple[Remark, ...]
    failures: int

    @property
    def well(self) -> bool:
        """Whether there is nothing."""
        return not (self.flaws or self.remarks or self.failures)


def check_up(registry: Registry, own: bool) -> Checkup:
    """Look at the options of components, and whether their modules are there.

    Args:
        registry: What was discovered.
        own: Whether Gazecut's own are looked at as well, for which pydantic must be imported.
    """
    flaws, remarks = {}, list(registry.remarks)
    for component in registry.components:
        if component.origin.own and not own:
            continue
        before = heavy_modules()
        for error in _errors(registry, component):
            flaws[component.kind, component.spec.name] = Flaw(component, error)
        if all(remark.origin != component.origin for remark in remarks):
            options = sys.modules.get(component.spec.config.partition(":")[0])
            remarks += imported_remark(component.origin, heavy_modules() - before | held_modules(options))
    return Checkup(flaws, tuple(remarks), len(registry.failures))


def _errors(registry: Registry, component: Component) -> Iterator[BaseException]:
    """The first thing that is wrong with a component, if any."""
    spec = component.spec
    module = spec.target.partition(":")[0]
    if find_module(module) is None:
        yield PluginError(f"there is no module {module}")
        return
    try:
        model = registry.config_class(component.kind, spec.name)
    except PluginError as error:
        yield error.__cause__ or error
        return
    try:
        _check_options(model)
    except (Exception, SystemExit) as error:  # noqa: BLE001  validators and schemas are foreign code
        yield error


def _check_options(model: type[BaseModel]) -> None:
    """Build options from nothing, where nothing is required, and their schema.

    Raises:
        PluginError: Their own defaults are refused, or cannot be recorded.
        Exception: Whatever pydantic or a validator raises.
    """
    from pydantic import PydanticUserError, ValidationError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a default that JSON cannot say is no flaw
            model.model_json_schema()
    except PydanticUserError as error:
        raise PluginError(f"its options have no schema: {error.message}") from error
    if any(field.is_required() for field in model.model_fields.values()):
        return
    try:
        options = model()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PluginError(f"its own defaults are refused: {f'{place}: ' if place else ''}{first['msg']}") from error
    try:
        json.dumps(options.model_dump(mode="json"), allow_nan=False)
    except Exception as error:
        raise PluginError(f"its options cannot be recorded with a run: {one_line(error)}") from error
