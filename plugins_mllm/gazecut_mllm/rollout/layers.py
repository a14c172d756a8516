"""Trace layers that are put together when they are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from gazecut.values import TraceLayer


class LazyLayers(Sequence[TraceLayer]):
    """Layers of a trace of which none is kept: whoever reads one again has it put together again."""

    @abstractmethod
    def together(self, at: int) -> TraceLayer:
        """Put one layer together; `at` is not negative and below the length."""

    @overload
    def __getitem__(self, index: int) -> TraceLayer: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TraceLayer, ...]: ...
    def __getitem__(self, index: int | slice) -> TraceLayer | tuple[TraceLayer, ...]:
        """One layer, put together now; or several."""
        places = range(len(self))[index]
        return self.together(places) if isinstance(places, int) else tuple(map(self.together, places))
