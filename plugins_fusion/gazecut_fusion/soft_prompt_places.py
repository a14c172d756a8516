"""Where soft prompts are: a local folder, the hub, or inside an installed package; and what they are known by."""

from __future__ import annotations

from pathlib import Path

from gazecut.addresses import SCHEME, is_hub_id, packaged_folder
from gazecut.cache import digest_files
from gazecut.errors import WeightsError
from gazecut.modules import find_module
from gazecut.wording import one_line
from gazecut_fusion.config import SoftPromptOptions, View
from gazecut_fusion.soft_prompt_files import ADAPTER, RECORD, TENSORS

FILES = (TENSORS, ADAPTER, RECORD)


def locate(address: str, view: View, revision: str | None = None) -> Path:
    """The folder that an address means for a view; one on the hub is downloaded where the hub cache does not have it.

    Args:
        address: A local folder, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.
        view: Whose sub-folder is meant where the folder itself holds no soft prompts.
        revision: Commit or tag of a hub id.

    Raises:
        WeightsError: There are none at the address; names the command that trains them.
    """
    try:
        folder = _on_this_machine(address) or _from_hub(address, revision)
    except WeightsError as error:
        raise WeightsError(f"soft prompts for the {view} view: {error}\n{how_to_train(address, view)}") from error
    found = _within(folder, view)
    if found is None:
        raise WeightsError(
            f"soft prompts for the {view} view: neither {folder} nor its {view}/ holds {ADAPTER}.\n{how_to_train(address, view)}"
        )
    return found


def how_to_train(address: str, view: View) -> str:
    """The command that would bring soft prompts to an address; elsewhere, where the address is none to write to."""
    local = not (address.startswith(SCHEME) or is_hub_id(address))
    folder = (address.rstrip("/").removesuffix(f"/{view}") or address) if local else "FOLDER"
    return f"Train them with this recipe: gazecut train soft-prompt --recipe RECIPE --data DATA --output {folder}"


def identify(options: SoftPromptOptions, verify: bool) -> str | None:
    """What the soft prompts of a recipe are known by: another text whenever their files are others.

    Args:
        options: Say where they are.
        verify: Read every byte. Else files are known by names, sizes and times, and the header of the safetensors.

    Returns:
        None where some are on the hub only, or nowhere.
    """
    known = []
    for view, address in options.weights.by_view().items():
        try:
            folder = _on_this_machine(address) or _in_hub_cache(address, view, options.revision)
        except WeightsError:
            return None  # whoever loads them says what is wrong
        found = _within(folder, view) if folder else None
        if found is None:
            return None
        known.append(f"{view} {digest_files([file for name in FILES if (file := found / name).is_file()], verify)}")
    return ", ".join(known)


def _within(folder: Path, view: View) -> Path | None:
    """The folder itself, or its view's sub-folder: whichever holds soft prompts."""
    return next((place for place in (folder, folder / view) if (place / ADAPTER).is_file()), None)


def _on_this_machine(address: str) -> Path | None:
    """The folder of a local address; None for a hub id."""
    if (packaged := packaged_folder(address)) is not None:
        return packaged
    folder = Path(address).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise WeightsError(f"{address} is a file; wanted the folder that holds {ADAPTER}.")
    if not is_hub_id(address):
        raise WeightsError(f'no folder {address}; wanted one that holds {ADAPTER}, or a hub id "owner/name".')
    return None


def _from_hub(hub_id: str, revision: str | None) -> Path:
    if find_module("huggingface_hub") is None:
        raise WeightsError(f'no folder {hub_id}, and the hub cannot be asked for "{hub_id}": that needs pip install "gazecut[mllm]".')
    from httpx import HTTPError
    from huggingface_hub import snapshot_download

    patterns = [pattern for name in FILES for pattern in (name, f"*/{name}")]
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError, RuntimeError, HTTPError) as error:
        at = f" at {revision}" if revision else ""
        raise WeightsError(f'no folder {hub_id}, and the hub does not give "{hub_id}"{at}: {one_line(error)}') from error


def _in_hub_cache(hub_id: str, view: View, revision: str | None) -> Path | None:
    """A snapshot that was downloaded before; the hub is not asked."""
    if find_module("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in (ADAPTER, f"{view}/{ADAPTER}"):
        found = try_to_load_from_cache(hub_id, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None
