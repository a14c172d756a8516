"""Notices plugins that drag a deep-learning library in when they are only listed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

from gazecut.inventory import Origin, Remark

HEAVY = ("torch", "transformers", "sam2", "tensorflow", "jax")
_ADVICE = "Import in the module of the component, which is loaded when a recipe uses it, and not where it or its options are declared."


def heavy_modules() -> frozenset[str]:
    """Heavy libraries that this process has imported."""
    return frozenset(name for name in HEAVY if sys.modules.get(name) is not None)


def held_modules(plugin: object) -> frozenset[str]:
    """Heavy libraries that a plugin's module imports by itself; they show even where another imported them first."""
    held = vars(plugin).values() if isinstance(plugin, ModuleType) else ()
    return frozenset(str(vars(value).get("__name__")).partition(".")[0] for value in held if isinstance(value, ModuleType)).intersection(
        HEAVY
    )


def imported_remark(origin: Origin, found: Iterable[str]) -> Iterator[Remark]:
    """What to say of a plugin that imported these libraries; nothing where there are none."""
    names = sorted(found, key=HEAVY.index)
    if names:
        yield Remark(origin, f"imports {' and '.join(names)} when it is listed", _ADVICE)
