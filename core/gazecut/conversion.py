"""Writes weights in another form; which forms there are, components know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gazecut.contents import Contents
from gazecut.errors import OutputError, WeightsError
from gazecut.output import staged

if TYPE_CHECKING:
    from gazecut.registry import Registry


def convert(registry: Registry, source: Path, target: Path, like: Path | None = None) -> str:
    """Convert a checkpoint: the target is there whole in the end, or not at all.

    Args:
        registry: Components that may know the checkpoint.
        source: File or folder with the weights.
        target: Where to write; its name says which form is wanted.
        like: A folder whose config the new checkpoint gets, where its own tensors do not tell enough.

    Returns:
        One line: what was written.

    Raises:
        WeightsError: The source is not there, no component knows it, or it cannot be converted.
        OutputError: The target is there already or cannot be written.
        PluginError: A converter cannot be imported.
    """
    for path, what in ((source, "weights"), (like, "--like")):
        if path is not None and not path.exists():
            raise WeightsError(f'{what}: nothing is at "{path}"; give the path of a file or folder.')
    if os.path.lexists(target):
        raise OutputError(f'"{target}" is there already, and weights are never overwritten; give another name, or move it away first.')
    only_it = Contents(record=target.name, keys=frozenset(), entries=frozenset({target.name}))
    with staged(target.absolute().parent, only_it, force=True) as fresh:
        return registry.convert(source, fresh / target.name, like)
