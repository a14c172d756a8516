"""Builds the module that a configuration of package `sam2` describes, and leaves Hydra's global state to others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from gazecut.errors import WeightsError
from gazecut.wording import one_line, shown

PACKAGE = "sam2"

_HYDRA_VERSION = "1.2"  # whose rules the package's configurations are written for
_TARGET = "_target_"
_ONE_AT_A_TIME = threading.Lock()

# What the official predictor sets beside the file, and its mask decoder needs: where one mask is asked for and it is not stable, the
# best of three. What it sets for the memory of prompted frames, the tracker does itself.
_OFFICIAL = (
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
)


def build(config: str, overrides: Sequence[str]) -> Any:
    """The module (Any: the package is untyped), its weights at random, on the CPU.

    Args:
        config: Name within the package ("configs/sam2.1/sam2.1_hiera_l.yaml"), or path of a file.
        overrides: Changes in Hydra's form.

    Raises:
        WeightsError: There is no such configuration, an override is wrong, or something else than modules of the package is named.
    """
    try:
        composed = _composed(config, overrides)
        for target in _targets(composed):
            _check_target(target)
        return instantiate(composed["model"])
    except (HydraException, OmegaConfBaseException, KeyError, ValueError, ImportError) as error:
        changed = f" with {', '.join(shown(each) for each in overrides)}" if overrides else ""
        raise WeightsError(
            f'config "{config}"{changed} describes no model: {one_line(error)}. Wanted a name within package sam2, for example '
            '"configs/sam2.1/sam2.1_hiera_l.yaml", or a .yaml file; and hydra_overrides like "++model.image_size=512".'
        ) from error


def _composed(config: str, overrides: Sequence[str]) -> Any:
    """The configuration in plain dictionaries and lists, overrides applied."""
    file = Path(config).expanduser()
    import_module(PACKAGE)  # takes Hydra's global state for itself where that is free; so it would for others who import it
    with _own_hydra(), _search(file):
        composed = compose(file.name if file.is_file() else config, overrides=[*_OFFICIAL, *overrides])
        return OmegaConf.to_container(composed, resolve=True)


def _search(file: Path) -> AbstractContextManager[None]:
    if file.is_file():
        return initialize_config_dir(str(file.absolute().parent), version_base=_HYDRA_VERSION)
    return initialize_config_module(PACKAGE, version_base=_HYDRA_VERSION)


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra's global state, empty within the block and afterwards as it was: whoever calls may be an application of Hydra's."""
    with _ONE_AT_A_TIME:
        hydra, version = GlobalHydra.instance().hydra, VersionBase.instance().version_base
        GlobalHydra.instance().clear()
        try:
            yield
        finally:  # Hydra puts other instances in place
            GlobalHydra.instance().hydra, VersionBase.instance().version_base = hydra, version


def _targets(part: Any) -> Iterator[Any]:
    """All that building a configuration would call."""
    if isinstance(part, dict):
        yield from (part[_TARGET],) if _TARGET in part else ()
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _targets(each)


def _check_target(target: Any) -> None:
    """A configuration may name any function there is; only modules of the package are built."""
    inside = isinstance(target, str) and target.startswith(f"{PACKAGE}.")
    named: Any = get_class(target) if inside else None
    if named is None or not issubclass(named, nn.Module) or not named.__module__.startswith(f"{PACKAGE}."):
        raise ValueError(f"it names {target!r}, which is no module of package {PACKAGE}")
