"""Finds plugins: entry points say where they are, pluggy what they may say.

Each plugin loads alone. One that fails is undone whole and kept with its exception, and the others go on.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

from gazecut.plugins.choice import choose
from gazecut.plugins.given import given_source
from gazecut.plugins.installed import installed_sources
from gazecut.plugins.loader import Loader
from gazecut.registry import Registry

__all__ = ["discover"]


def discover(distributions: Iterable[metadata.Distribution] | None = None, *, modules: Sequence[ModuleType | str | Path] = ()) -> Registry:
    """Load every plugin: Gazecut's own first, then by name of the distribution, then what was given; who comes first keeps a name.

    Nothing is remembered between calls, so a plugin that was mended loads at the next one. Two environment variables choose:
    `GAZECUT_DISABLE=a,b` drops plugins, by distribution or "distribution:entry point"; `GAZECUT_PLUGINS=a,b` loads no others beside
    Gazecut's own, and may name modules and files as well.

    Args:
        distributions: Where to look; all that are installed by default.
        modules: Plugins that need no installation: modules, dotted names of modules, or paths of .py files.

    Raises:
        PluginError: One of `modules` is nothing of the kind. All else that goes wrong is part of what is returned.
    """
    importlib.invalidate_caches()  # what was installed or mended since this process began
    given = [given_source(module) for module in modules]
    installed = installed_sources(metadata.distributions() if distributions is None else distributions)
    choice = choose(installed, given, os.environ)
    loader = Loader()
    for source in choice.sources:
        loader.load(source)
    return loader.registry(choice.skipped, choice.remarks)
