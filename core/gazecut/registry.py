"""The components that are installed: look one up, build one; and the plugins that did not load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazecut.components import ON_DEVICE, ComponentSpec, Kind
from gazecut.errors import PluginError, WeightsError
from gazecut.inventory import Component, Failure, Loaded, Remark, Skipped
from gazecut.modules import find_module
from gazecut.suggest import did_you_mean
from gazecut.wording import one_line, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gazecut.protocols import Runtime

__all__ = ["Component", "Registry", "missing_modules"]

_MOST_NAMED = 8  # plugins in one message


class Registry:
    """Declared components by kind and name, and the plugins that did not load.

    Args:
        components: In loading order; every (kind, name) once.
        failures: Plugins that could not be loaded, in loading order.
        loaded: Plugins that could, in loading order.
        skipped: Plugins that were not to be loaded.
        remarks: What is not as it should be, though it works.
    """

    def __init__(
        self,
        components: tuple[Component, ...] = (),
        failures: tuple[Failure, ...] = (),
        loaded: tuple[Loaded, ...] = (),
        skipped: tuple[Skipped, ...] = (),
        remarks: tuple[Remark, ...] = (),
    ) -> None:
        self.components = components
        self.failures = failures
        self.loaded = loaded
        self.skipped = skipped
        self.remarks = remarks
        self._by_name = {(component.kind, component.spec.name): component for component in components}

    @property
    def plugins(self) -> Mapping[str, object]:
        """Whatever loaded, by the one name of each plugin; their `on_...` hooks hear of runs."""
        return {each.origin.plugin: each.plugin for each in self.loaded}

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Names of one kind, sorted."""
        return tuple(sorted(name for of, name in self._by_name if of == kind))

    def component(self, kind: Kind, name: str) -> Component:
        """A component with its origin.

        Raises:
            PluginError: None of that kind has the name; says what is installed and which plugins that did not load may provide it.
        """
        try:
            return self._by_name[kind, name]
        except KeyError:
            raise PluginError(self._unknown(kind, name)) from None

    def spec(self, kind: Kind, name: str) -> ComponentSpec:
        """A component as its plugin declared it.

        Raises:
            PluginError: None of that kind has the name.
        """
        return self.component(kind, name).spec

    def config_class(self, kind: Kind, name: str) -> type[BaseModel]:
        """The pydantic model of a component's options; imports its module, never the component.

        Raises:
            PluginError: None of that kind has the name, or its config class cannot be imported or is no usable model.
        """
        component = self.component(kind, name)
        model = _load(component, component.spec.config)
        try:
            return _usable_model(model)
        except Exception as error:
            said = f'{kind} "{name}" of {component.origin} takes no options from {component.spec.config}'
            raise PluginError(f"{said}: {one_line(error)}. {_remedy(component)}") from error

    def build(self, kind: Kind, name: str, options: BaseModel, runtime: Runtime) -> Any:
        """A working component.

        Args:
            kind: Its kind.
            name: Its name.
            options: An instance of its config class.
            runtime: Device and seed, for the kinds that compute on a device.

        Raises:
            PluginError: None of that kind has the name, its extra is missing, or its module cannot be imported.
        """
        component = self.component(kind, name)
        missing = missing_modules(component.spec)
        if missing:
            raise PluginError(
                f'{kind} "{name}" needs {component.spec.needs or "modules that are not installed"}: '
                f"no module named {', '.join(missing)}. {_remedy(component)}"
            )
        target = _load(component, component.spec.target)
        return target(options, runtime) if kind in ON_DEVICE else target(options)

    def identity(self, kind: Kind, name: str, options: BaseModel, verify: bool = False) -> str | None:
        """What the files are that a component reads beside its options: another text whenever they are others.

        Args:
            kind: Its kind.
            name: Its name.
            options: An instance of its config class.
            verify: Read every byte of them.

        Returns:
            Empty for a component without files; None where that cannot be told without building it.

        Raises:
            PluginError: None of that kind has the name, or its module cannot be imported.
        """
        component = self.component(kind, name)
        if not component.spec.identity:
            return ""
        found: str | None = _load(component, component.spec.identity)(options, verify)
        return found

    def convert(self, source: Path, target: Path, like: Path | None = None) -> str:
        """Have a checkpoint written in another form, by the first component that knows it.

        Args:
            source: File or folder.
            target: A path that is free; its name says which form.
            like: A folder whose config the new checkpoint gets, where its own tensors do not tell enough.

        Returns:
            One line: what was written.

        Raises:
            WeightsError: No component knows the checkpoint, or it cannot be read or converted.
            PluginError: A converter cannot be imported.
        """
        able = [component for component in self.components if component.spec.converter]
        ready = [component for component in able if not missing_modules(component.spec)]
        for path, component in {each.spec.converter: each for each in ready}.items():
            said: str | None = _load(component, path)(source, target, like)
            if said is not None:
                return said
        asked = ", ".join(f'{component.kind} "{component.spec.name}"' for component in ready) or "none is ready"
        lines = [f'no component knows the weights in "{source}"; asked those that can convert some: {asked}']
        lines += dict.fromkeys(_remedy(component) for component in able if component not in ready)
        raise WeightsError("\n".join(lines))

    def check_given(self) -> None:
        """Refuse to go on without a plugin that the call or the command named.

        Raises:
            PluginError: One of them did not load; says why.
        """
        unloaded: tuple[Failure | Skipped, ...] = (*self.failures, *self.skipped)
        for lost in unloaded:
            if lost.origin.given:
                cause = lost.error if isinstance(lost, Failure) else None
                name = lost.origin.given
                why = f"Why: gazecut plugins --plugin {name} --why {name}"
                raise PluginError(f"plugin {name} was asked for, but not loaded: {lost.reason}\n{why}") from cause

    def _unknown(self, kind: Kind, name: str) -> str:
        known = self.names(kind)
        lines = [f'no {kind} is called "{shown(name)}"; installed: {", ".join(known) or "none"}{did_you_mean(shown(name), known)}']
        failed = (f"{failure.origin}, {failure.reason}" for failure in self.failures if failure.may_provide(kind, name))
        lines += _suspects(failed, " failed to load and")
        lines += _suspects((f"{each.origin}, {each.reason}" for each in self.skipped), ", switched off,")
        return "\n".join(lines)


def missing_modules(spec: ComponentSpec) -> list[str]:
    """Modules of a component's extra that are not installed; found without importing any."""
    return [module for module in spec.requires if find_module(module) is None]


def _load(component: Component, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        said = f'{component.kind} "{component.spec.name}" of {component.origin} cannot be imported from {path}'
        raise PluginError(f"{said}: {one_line(error)}. {_remedy(component)}") from error


def _usable_model(model: Any) -> type[BaseModel]:
    from pydantic import BaseModel, PydanticUserError
    from pydantic.errors import PydanticUndefinedAnnotation

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        what = f"the class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise PluginError(f"it is {what}; wanted a pydantic model, best a subclass of gazecut.options.Options")
    try:
        model.model_rebuild()  # does nothing for a model that is complete
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise PluginError(f"it is not complete: {error.message}") from error
    return model


def _remedy(component: Component) -> str:
    spec, origin = component.spec, component.origin
    if spec.needs and (not spec.requires or missing_modules(spec)):
        return f'Install it: pip install "{spec.needs}"'
    return "Install its distribution again, or ask whoever maintains it." if origin.entry_point else f"Mend {origin.distribution}."


def _suspects(plugins: Iterable[str], which: str) -> Iterator[str]:
    """Lines that name plugins; of many, the first."""
    lines = list(dict.fromkeys(plugins))
    if lines:
        yield f"{'one plugin' if len(lines) == 1 else f'{len(lines)} plugins'}{which} may provide it:"
        yield from lines[:_MOST_NAMED]
    if len(lines) > _MOST_NAMED:
        yield f"and {len(lines) - _MOST_NAMED} more, see: gazecut plugins"
