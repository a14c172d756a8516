"""What is known of plugins: where they came from, what they declared, why they did not load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from gazecut.components import ComponentSpec, Kind
from gazecut.wording import one_line

HOST = "gazecut"
NO_VERSION = "-"
_MODULE = "module "


@dataclass(frozen=True)
class Origin:
    """Where a plugin came from.

    Attributes:
        distribution: The distribution, for example "gazecut"; of what is not installed, "my_scorer.py" or "module my_package.plugin".
        version: Its version, for example "0.1.0"; "-" for none.
        entry_point: Name of its entry point; empty for a plugin that is not installed.
        given: As the call or the command named it, so that nobody goes on without it; empty for all others.
    """

    distribution: str
    version: str = NO_VERSION
    entry_point: str = ""
    given: str = ""

    @classmethod
    def of_module(cls, name: str, given: str = "") -> Origin:
        """The origin of a module that no distribution declares."""
        return cls(f"{_MODULE}{name}", given=given)

    def __str__(self) -> str:
        return self.distribution if self.version == NO_VERSION else f"{self.distribution} {self.version}"

    @property
    def own(self) -> bool:
        """Whether it is part of Gazecut."""
        return normalised(self.distribution) == HOST

    @property
    def plugin(self) -> str:
        """The one name of the plugin: "distribution:entry point", or its file or module."""
        return f"{self.distribution}:{self.entry_point}" if self.entry_point else self.distribution

    def is_called(self, name: str) -> bool:
        """Whether a person may mean this plugin: by distribution, "distribution:entry point", module or path of the file."""
        if not self.entry_point and name.endswith(".py"):
            return PurePath(name).name == self.distribution
        distribution, _, entry_point = name.partition(":")
        return normalised(distribution) == normalised(self.distribution.removeprefix(_MODULE)) and entry_point in ("", self.entry_point)


@dataclass(frozen=True)
class Component:
    """A declared component and where it came from.

    Attributes:
        kind: Its kind.
        spec: What its plugin declared.
        origin: Where that plugin came from.
    """

    kind: Kind
    spec: ComponentSpec
    origin: Origin


@dataclass(frozen=True, eq=False)
class Failure:
    """A plugin that did not load; nothing of it was kept.

    Attributes:
        origin: Where it came from.
        error: What it raised, with the traceback.
        kind: Kind of the component that it failed on, where that is known.
        spec: That component.
    """

    origin: Origin
    error: BaseException
    kind: Kind | None = None
    spec: ComponentSpec | None = None

    @property
    def reason(self) -> str:
        """One line: what went wrong."""
        return one_line(self.error)

    def may_provide(self, kind: Kind, name: str) -> bool:
        """Whether this plugin, had it loaded, might have brought a component."""
        return self.spec is None or (self.kind, self.spec.name) == (kind, name)


@dataclass(frozen=True)
class Loaded:
    """A plugin that loaded.

    Attributes:
        origin: Where it came from.
        plugin: The module or object with its hooks.
    """

    origin: Origin
    plugin: object


@dataclass(frozen=True)
class Skipped:
    """A plugin that was not loaded because somebody wanted it so.

    Attributes:
        origin: Where it came from.
        reason: For example "disabled by GAZECUT_DISABLE".
    """

    origin: Origin
    reason: str


@dataclass(frozen=True)
class Remark:
    """Something about a plugin or a setting that works, but not as it should.

    Attributes:
        origin: The plugin, or the setting.
        text: In words that go on behind its name.
        advice: What to do about it, where that does not follow.
    """

    origin: Origin
    text: str
    advice: str = ""


def normalised(name: str) -> str:
    """The name of a distribution as package indices compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()
