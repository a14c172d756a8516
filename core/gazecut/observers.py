"""Tells those who look on what happens in a run: stages, clips, the run itself.

Observers are plugins like any other: an object or module whose `on_...` functions carry `gazecut.components.hookimpl`. They are told
one by one, so that one that raises harms nobody: it is reported once and told nothing more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pluggy

from gazecut.components import Hooks, hookimpl
from gazecut.errors import PluginError
from gazecut.wording import one_line

if TYPE_CHECKING:
    from gazecut.protocols import Clip, Runtime
    from gazecut.recipe import Recipe

_log = logging.getLogger(__name__)
_EVENTS = tuple(name for name in vars(Hooks) if name.startswith("on_"))


class Stage:
    """A stage that is going on; whoever runs it says how far it is and, at its end, what came of it.

    Attributes:
        summary: A few words for people, for example "3 points".
    """

    def __init__(self, observers: Observers, name: str, steps: int) -> None:
        """Nothing is done yet of `steps` steps; 0 for a stage that is one piece."""
        self.summary = ""
        self._observers, self._name, self._steps, self._done = observers, name, steps, 0

    def step(self) -> None:
        """One more step is done."""
        self._done += 1
        self._observers.tell("on_stage_step", stage=self._name, done=self._done, steps=self._steps)


class Observers:
    """Whoever looks on, in the order in which they are told."""

    def __init__(self, plugins: Mapping[str, object] | Sequence[object] = (), outer: Observers | None = None) -> None:
        """Take them on.

        Args:
            plugins: Modules or objects with hooks, by name or in order; those without any event hook are passed over if they have a
                name (a plugin may well declare components only), and refused if they have none.
            outer: Told everything first.

        Raises:
            PluginError: One listens to nothing, or to an event or with an argument that does not exist.
        """
        self._outer = outer
        self._inner: list[float] = []  # seconds that stages within each open stage took
        self._manager = pluggy.PluginManager(hookimpl.project_name)
        self._manager.add_hookspecs(Hooks)
        if isinstance(plugins, Mapping):
            for name, plugin in plugins.items():
                self._manager.register(plugin, name)
        else:
            for plugin in plugins:
                self._take_on(plugin)

    def tell(self, event: str, **facts: object) -> None:
        """Tell everybody of an event, one by one.

        Args:
            event: Name of an `on_...` hook.
            facts: Its arguments.
        """
        if self._outer is not None:
            self._outer.tell(event, **facts)
        for implementation in reversed(getattr(self._manager.hook, event).get_hookimpls()):
            others = [plugin for plugin in self._manager.get_plugins() if plugin is not implementation.plugin]
            try:
                self._manager.subset_hook_caller(event, others)(**facts)
            except Exception as error:  # noqa: BLE001  whoever looks on must not stop what goes on
                self._manager.unregister(implementation.plugin)
                _log.warning("observer %s failed in %s and is told nothing more: %s", implementation.plugin_name, event, one_line(error))
                _log.debug("how it failed", exc_info=error)

    @contextmanager
    def run(self, recipe: Recipe, runtime: Runtime, clips: int | None) -> Iterator[None]:
        """Tell of a run: that it begins, and how it ended."""
        start = time.perf_counter()
        self.tell("on_run_start", recipe=recipe, runtime=runtime, clips=clips)
        try:
            yield
        except BaseException as error:
            self.tell("on_run_end", seconds=time.perf_counter() - start, error=error)
            raise
        self.tell("on_run_end", seconds=time.perf_counter() - start, error=None)

    @contextmanager
    def stage(self, name: str, steps: int = 0) -> Iterator[Stage]:
        """Tell of a stage: that it begins, its steps, and that it ended well; one that fails shows in the clip's end.

        The seconds of a stage within another one count for the inner one alone.
        """
        self.tell("on_stage_start", stage=name, steps=steps)
        stage, start, within = Stage(self, name, steps), time.perf_counter(), len(self._inner)
        self._inner.append(0.0)
        try:
            yield stage
        finally:
            seconds, inner = time.perf_counter() - start, self._inner[within]
            del self._inner[within:]
            if within:
                self._inner[-1] += seconds
        self.tell("on_stage_end", stage=name, seconds=seconds - inner, summary=stage.summary)

    def clip_ended(self, clip: Clip, results: int, seconds: float, error: BaseException | None) -> None:
        """Tell that the session on a clip was closed."""
        self.tell("on_clip_end", clip=clip, results=results, seconds=seconds, error=error)

    def _take_on(self, plugin: object) -> None:
        try:
            name = self._manager.register(plugin)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"an observer cannot be used: {error}. Events: {', '.join(_EVENTS)}.") from error
        callers = (self._manager.get_hookcallers(plugin) or []) if name else []
        if not any(caller.name in _EVENTS for caller in callers):
            unmarked = [name for name in dir(plugin) if name.startswith("on_")]
            hint = f" Mark {', '.join(unmarked)} with it." if unmarked else ""
            raise PluginError(
                f"{_called(plugin)} listens to no event; wanted functions marked with @gazecut.components.hookimpl, "
                f"of these names: {', '.join(_EVENTS)}.{hint}"
            )


def _called(plugin: object) -> str:
    return f"the module {plugin.__name__}" if hasattr(plugin, "__name__") else f"an observer of type {type(plugin).__name__}"
