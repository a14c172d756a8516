"""Which files a checkpoint of SAM 2 consists of, and what they are known by; imports nothing that computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gazecut.addresses import is_hub_id, packaged_folder
from gazecut.cache import digest_files
from gazecut.errors import WeightsError
from gazecut_segmenter.config import Sam2HfOptions, Sam2Options

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
SUFFIXES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Checkpoint:
    """A model on this machine.

    Attributes:
        path: A folder with `config.json` and `model.safetensors`, or a file.
        revision: Commit, for one that came from the hub; None for others.
        hub_id: Its hub id, or None.
    """

    path: Path
    revision: str | None = None
    hub_id: str | None = None

    @property
    def about(self) -> str:
        """What to call it in messages."""
        return f"{self.path}" + (f' (hub id "{self.hub_id}")' if self.hub_id else "")

    @property
    def files(self) -> list[Path]:
        """The files that its results depend on; a file is read with the config.json beside it."""
        if self.path.is_dir():
            return [self.path / CONFIG_FILE, self.path / MODEL_FILE]
        beside = self.path.with_name(CONFIG_FILE)
        return [self.path, *([beside] if beside.is_file() else [])]


def on_this_machine(weights: str) -> Checkpoint | None:
    """The checkpoint of a local folder or file or of a package, or None for a hub id.

    Args:
        weights: A local folder, a file, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.

    Raises:
        WeightsError: There is no such folder, file or package, or a folder without a model.
    """
    path = packaged_folder(weights) or Path(weights).expanduser()
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise WeightsError(f"weights: {weights} is no checkpoint by its name; wanted {', '.join(SUFFIXES)}, or a folder.")
        return Checkpoint(path)
    if path.is_dir():
        missing = [name for name in (CONFIG_FILE, MODEL_FILE) if not (path / name).is_file()]
        if missing:
            raise WeightsError(
                f"weights: folder {weights} has no {missing[0]}; wanted one with {CONFIG_FILE} and {MODEL_FILE}, or the checkpoint's file."
            )
        return Checkpoint(path)
    if not is_hub_id(weights) or path.suffix in SUFFIXES:
        raise WeightsError(
            f"weights: no file or folder {weights}; wanted a folder with {CONFIG_FILE} and {MODEL_FILE}, a checkpoint's file, "
            'or a hub id "owner/name".'
        )
    return None


def identify(options: Sam2HfOptions, verify: bool) -> str | None:
    """What a checkpoint is known by: another text whenever its files are others.

    Args:
        options: Say which checkpoint.
        verify: Read every byte. Else a hub checkpoint is known by its commit, and others by names, sizes and times of their files and
            the headers of their safetensors.

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
    return digest_files(checkpoint.files, verify)


def identify_configured(options: Sam2Options, verify: bool) -> str | None:
    """The same for `sam2`, whose configuration may be a file of its own."""
    known = identify(options, verify)
    file = Path(options.config).expanduser() if options.config else None
    return f"{known} {digest_files([file], verify=True)}" if known and file and file.is_file() else known


def _in_hub_cache(hub_id: str, revision: str | None) -> Checkpoint | None:
    """A snapshot that was downloaded before; the hub is not asked."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(hub_id, name, revision=revision) for name in (CONFIG_FILE, MODEL_FILE)]
    if not all(isinstance(file, str) for file in found):
        return None
    folder = Path(str(found[0])).parent
    return Checkpoint(folder, revision=folder.name, hub_id=hub_id)
