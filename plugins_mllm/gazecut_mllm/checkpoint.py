"""Which files a checkpoint consists of, and what they are known by; imports nothing that computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gazecut.addresses import is_hub_id, packaged_folder
from gazecut.cache import digest_files
from gazecut.errors import WeightsError
from gazecut_mllm.config import MLLMOptions

FILES = ("*.json", "*.jinja", "*.txt", "*.safetensors")
"""All that is ever read: no code, no pickles."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a model and its processor.

    Attributes:
        folder: Where it is on this machine.
        revision: Commit, for one that came from the hub; None for others.
        hub_id: Its hub id, or None.
    """

    folder: Path
    revision: str | None = None
    hub_id: str | None = None

    @property
    def about(self) -> str:
        """What to call it in messages."""
        return f"folder {self.folder}" + (f' (hub id "{self.hub_id}")' if self.hub_id else "")


def on_this_machine(weights: str) -> Checkpoint | None:
    """The checkpoint of a local folder or of a package, or None for a hub id.

    Args:
        weights: A local folder, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.

    Raises:
        WeightsError: There is no such folder or package.
    """
    packaged = packaged_folder(weights)
    if packaged is not None:
        return Checkpoint(packaged)
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return Checkpoint(folder)
    if folder.exists():
        raise WeightsError(f"weights: {weights} is a file; wanted the folder that holds config.json and *.safetensors.")
    if not is_hub_id(weights):
        raise WeightsError(f'weights: no folder {weights}; wanted one with config.json and *.safetensors, or a hub id "owner/name".')
    return None


def identify(options: MLLMOptions, verify: bool) -> str | None:
    """What a checkpoint is known by: another text whenever its files are others.

    Args:
        options: Say which checkpoint.
        verify: Read every byte. Else a hub checkpoint is known by its commit, and a folder by names, sizes and times of its files and
            the headers of its safetensors.

    Returns:
        None for one that is on the hub only, or nowhere.
    """
    try:
        checkpoint = on_this_machine(options.weights) or _in_hub_cache(options.weights, options.revision)
    except WeightsError:
        return None  # whoever loads it says what is wrong
    if checkpoint is None:
        return None
    if checkpoint.revision and not verify:
        return f"{checkpoint.hub_id} {checkpoint.revision}"
    return digest_files(sorted({file for pattern in FILES for file in checkpoint.folder.glob(pattern)}), verify)


def _in_hub_cache(hub_id: str, revision: str | None) -> Checkpoint | None:
    """A snapshot that was downloaded before; the hub is not asked."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    return Checkpoint(Path(found).parent, revision=Path(found).parent.name, hub_id=hub_id) if isinstance(found, str) else None
