"""Which plugins are loaded: what `GAZECUT_DISABLE` and `GAZECUT_PLUGINS` say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gazecut.inventory import HOST, Origin, Remark, Skipped
from gazecut.modules import find_module
from gazecut.plugins.given import given_source, is_path
from gazecut.plugins.source import Source, failing
from gazecut.suggest import did_you_mean

DISABLE = "GAZECUT_DISABLE"
PLUGINS = "GAZECUT_PLUGINS"


@dataclass(frozen=True)
class Choice:
    """What to load, and what not.

    Attributes:
        sources: In loading order.
        skipped: Left out, and why.
        remarks: Names in the settings that mean nothing.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    remarks: tuple[Remark, ...]


def choose(installed: Sequence[Source], given: Sequence[Source], settings: Mapping[str, str]) -> Choice:
    """Go through the plugins that there are.

    Args:
        installed: In loading order.
        given: Named by the call; only `GAZECUT_DISABLE` drops them.
        settings: The environment.
    """
    named = _items(settings[PLUGINS]) if PLUGINS in settings else None
    unwanted = _items(settings.get(DISABLE, ""))
    left_out = [source for source in installed if named is not None and not source.origin.own and not _is_named(source, named)]
    others = [_by_setting(name, installed) for name in named or () if not any(source.origin.is_called(name) for source in installed)]
    everything = [*installed, *others, *given]
    disabled = [source for source in everything if _is_named(source, [name for name in unwanted if not _whole_host(name)])]
    skipped = [
        *(Skipped(source.origin, f"disabled by {DISABLE}") for source in disabled),
        *(Skipped(source.origin, f"left out by {PLUGINS}") for source in left_out if source not in disabled),
    ]
    sources = [source for source in everything if source not in (*disabled, *left_out)]
    return Choice(tuple(sources), tuple(skipped), tuple(_meaningless(unwanted, everything)))


def _items(setting: str) -> list[str]:
    return [name.strip() for name in setting.split(",") if name.strip()]


def _is_named(source: Source, names: Iterable[str]) -> bool:
    return any(source.origin.is_called(name) for name in names)


def _whole_host(name: str) -> bool:
    return Origin(HOST).is_called(name)


def _by_setting(name: str, installed: Iterable[Source]) -> Source:
    """What `GAZECUT_PLUGINS` names and no distribution is: a file or a module, or nothing."""
    if is_path(name) or find_module(name) is not None:
        return given_source(name, asked=False)
    known = [source.origin.distribution for source in installed]
    text = f"{PLUGINS} names it, but no such plugin or module is installed, and it is no path of a .py file"
    return failing(Origin(name), f"{text}{did_you_mean(name, known)}")


def _meaningless(unwanted: Iterable[str], sources: Sequence[Source]) -> Iterator[Remark]:
    for name in unwanted:
        if _whole_host(name):
            own = ", ".join(source.origin.plugin for source in sources if source.origin.own)
            yield Remark(Origin(DISABLE), f'names "{name}", which cannot be dropped whole; its plugins: {own}')
        elif not any(source.origin.is_called(name) for source in sources):
            known = {text for source in sources for text in (source.origin.distribution, source.origin.plugin)}
            yield Remark(Origin(DISABLE), f'names "{name}", but there is no such plugin{did_you_mean(name, sorted(known))}')
