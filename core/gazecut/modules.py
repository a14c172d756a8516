"""Finds modules without importing anything, their parent packages included."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from itertools import accumulate


def find_module(name: str) -> ModuleSpec | None:
    """Where a module would be imported from, or None where there is no such module.

    Unlike `importlib.util.find_spec` it never imports the packages around a module, which may be heavy or broken.

    Args:
        name: Dotted, for example "gazecut_plugins.config".
    """
    found: ModuleSpec | None = None
    path: Sequence[str] | None = None
    for dotted in accumulate(name.split("."), lambda parent, child: f"{parent}.{child}"):
        if found is not None and path is None:
            return None  # its parent is a plain module
        found, path = _find(dotted, path)
        if found is None:
            return None
    return found


def _find(name: str, path: Sequence[str] | None) -> tuple[ModuleSpec | None, Sequence[str] | None]:
    if name in sys.modules:
        module = sys.modules[name]
        if module is None:  # Python's own way to say that a module must not be found
            return None, None
        found = getattr(module, "__spec__", None) or ModuleSpec(name, None, origin=getattr(module, "__file__", None))
        return found, getattr(module, "__path__", None)
    for finder in sys.meta_path:
        # A finder may miss the parent of a module, which was never imported, be unable to read the name, or be of Python 2's form: then it
        # finds nothing.
        with suppress(AttributeError, ImportError, KeyError, ValueError):
            if (found := finder.find_spec(name, path)) is not None:
                return found, found.submodule_search_locations
    return None, None
