"""What an address of weights in a recipe means: a folder here, one of an installed package, or a repository of the hub."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from gazecut.errors import WeightsError

SCHEME: Final = "package:"


def is_hub_id(address: str) -> bool:
    """Whether an address has the form "owner/name", and none by which a path or a package is known.

    Args:
        address: As a recipe has it. A folder of that form may be there all the same; whoever asks has looked.
    """
    return address.count("/") == 1 and not address.startswith((".", "/", "~", SCHEME))


def packaged_folder(address: str) -> Path | None:
    """The folder that "package:NAME/FOLDER" means, or None for any other text.

    Args:
        address: As a recipe has it.

    Raises:
        WeightsError: There is no such package, or it has no such folder.
    """
    if not address.startswith(SCHEME):
        return None
    package, _, inside = address.removeprefix(SCHEME).partition("/")
    try:
        folder = Path(str(resources.files(package))) / inside
    except (ModuleNotFoundError, TypeError, ValueError):
        raise WeightsError(f'weights: {address}: no package "{package}" is installed; install it, or give a folder or a hub id.') from None
    if not folder.is_dir():
        raise WeightsError(f'weights: {address}: package "{package}" has no folder "{inside}"; looked at {folder}. Reinstall the package.')
    return folder
