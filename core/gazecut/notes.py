"""What stages of a clip gave in earlier runs, found again by all that it depends on.

Kept are answers with their raw maps, labels of text-only turns, tracklets and tracks: whatever is expensive and follows from its key
alone. Fusion and scorers are cheap and are never kept, so changing one of their options runs no model again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gazecut.cache import Store
from gazecut.protocols import Provenance
from gazecut.values import HeatMaps, MaskTrack, Tracklet, Tracklets
from gazecut.work import Work


@dataclass(eq=False)
class Reading:
    """What came of one question.

    Attributes:
        texts: The answers, one per sequence of the view.
        maps: Raw maps in host memory; None for a question without a trace, and until the witness has settled.
        tokens: The question's text, token by token; none where model or attribution do not tell.
        weights: What each token weighed, the mean over sequences, (P,) float32; together with `tokens`.
    """

    texts: tuple[str, ...]
    maps: HeatMaps | None = None
    tokens: tuple[str, ...] = ()
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


class Notes:
    """Notes on one clip; a key of None, where something is not known well enough to be found again, keeps nothing."""

    def __init__(self, store: Store | None, work: Work) -> None:
        """Take the store; None remembers nothing."""
        self._store, self.work = store, work

    def reading(self, key: str | None) -> tuple[Reading, Provenance] | None:
        """An answer with its maps, and the provenance of the model that gave it."""
        found = self._found("readings", key)
        if found is None:
            return None
        facts, maps = found.facts, found.arrays.get("maps")
        heat = None if maps is None else HeatMaps(maps, facts["frames_per_slot"])
        weights = found.arrays.get("weights", np.zeros(0, np.float32))
        return Reading(tuple(facts["texts"]), heat, tuple(facts["tokens"]), weights), Provenance(**facts["provenance"])

    def keep_reading(self, key: str | None, reading: Reading, provenance: Provenance) -> None:
        """Keep an answer with its maps."""
        maps = reading.maps
        arrays = {} if maps is None else {"maps": maps.numpy(), "weights": reading.weights}
        frames_per_slot = 1 if maps is None else maps.frames_per_slot
        about = {"texts": list(reading.texts), "tokens": list(reading.tokens)}
        self._keep("readings", key, arrays, {**about, "frames_per_slot": frames_per_slot, "provenance": asdict(provenance)})

    def tracklets(self, key: str | None) -> tuple[Tracklets, Provenance] | None:
        """Tracklets as the loop left them, and the provenance of the segmenter."""
        found = self._found("tracklets", key)
        if found is None:
            return None
        items = []
        for index, about in enumerate(found.facts["tracklets"]):
            track = _track(about.pop("track"))
            items.append(Tracklet(**about, prompt_xy=found.arrays[f"xy {index}"], track=track, logits=found.arrays[f"logits {index}"]))
        return Tracklets(tuple(items)), Provenance(**found.facts["provenance"])

    def keep_tracklets(self, key: str | None, tracklets: Tracklets, provenance: Provenance) -> None:
        """Keep tracklets."""
        arrays: dict[str, np.ndarray] = {}
        facts = []
        for index, one in enumerate(tracklets):
            arrays |= {f"xy {index}": one.prompt_xy, f"logits {index}": one.logits}
            about = {name: getattr(one, name) for name in ("prompt_frame", "attention", "predicted_iou")}
            facts.append({**about, "track": _codes(one.track)})
        self._keep("tracklets", key, arrays, {"tracklets": facts, "provenance": asdict(provenance)})

    def tracks(self, key: str | None) -> tuple[MaskTrack, ...] | None:
        """Tracks over the whole clip."""
        found = self._found("tracks", key)
        return None if found is None else tuple(map(_track, found.facts["tracks"]))

    def keep_tracks(self, key: str | None, tracks: Sequence[MaskTrack]) -> None:
        """Keep tracks."""
        self._keep("tracks", key, {}, {"tracks": list(map(_codes, tracks))})

    def _found(self, stage: str, key: str | None) -> Any:
        found = self._store.read(stage, key) if self._store and key else None
        if self._store and key:
            self.work.cache_hits += found is not None
            self.work.cache_misses += found is None
        return found

    def _keep(self, stage: str, key: str | None, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        if self._store and key:
            self._store.write(stage, key, arrays, facts)


def _codes(track: MaskTrack) -> dict[str, Any]:
    return {"size": list(track.size), "codes": list(track.codes)}


def _track(about: Mapping[str, Any]) -> MaskTrack:
    return MaskTrack((about["size"][0], about["size"][1]), tuple(about["codes"]))
