"""From points to tracks: the key-frame loop and the way over the whole clip, with notes of what was found before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from gazecut.keys import ClipKeys
from gazecut.notes import Notes
from gazecut.observers import Observers
from gazecut.protocols import Clip, Provenance, Segmenter, SegmenterSession
from gazecut.tracklets import KeyFrames, find_tracklets, follow_kept
from gazecut.values import MaskTrack, Tracklet, Tracklets
from gazecut.wording import counted


class Hand(Protocol):
    """What a pursuit needs of a pipeline; built when it is first asked for."""

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        ...


class Pursuit:
    """One clip before the segmenter, whose session opens when something is wanted that no note tells.

    Attributes:
        provenance: Of the segmenter that notes were made with; None where none were found.
    """

    def __init__(self, hand: Hand, clip: Clip, notes: Notes, keys: ClipKeys, observers: Observers) -> None:
        """Open nothing yet.

        Args:
            hand: The segmenter.
            clip: The clip.
            notes: What is known of it.
            keys: What things are called in the notes.
            observers: Told of finding and following.
        """
        self._hand, self._clip, self._notes, self._keys, self._observers = hand, clip, notes, keys, observers
        self.provenance: Provenance | None = None

    def find(self, key: KeyFrames, suppress_above: float) -> Tracklets:
        """Every candidate that is left at the end of the loop over key frames."""
        with self._observers.stage("find", len(key.indices)) as stage:
            if not len(key.points):
                return Tracklets()
            name = self._keys.tracklets(key, suppress_above)
            noted = self._notes.tracklets(name)
            if noted is None:
                found = find_tracklets(self._session, key, suppress_above, stage.step)
                self._notes.keep_tracklets(name, found, self._hand.segmenter.describe())
            else:
                found, self.provenance = noted
            stage.summary = counted(len(found), "candidate")
            return found

    def follow(self, kept: Sequence[Tracklet], key: KeyFrames) -> tuple[MaskTrack, ...]:
        """One track over the whole clip per tracklet."""
        with self._observers.stage("segment") as stage:
            if not kept:
                return ()
            name = self._keys.tracks(key, kept)
            found = self._notes.tracks(name)
            if found is None:
                found = follow_kept(self._session, kept, key, self._clip.length)
                self._notes.keep_tracks(name, found)
            stage.summary = f"{counted(len(kept), 'object')} over {counted(self._clip.length, 'frame')}"
            return found

    def close(self) -> None:
        """Free what the segmenter holds; a second call does nothing."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    @cached_property
    def _session(self) -> SegmenterSession:
        return self._hand.segmenter.open(self._clip)
