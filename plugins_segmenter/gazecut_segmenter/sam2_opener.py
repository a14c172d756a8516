"""What the segmenters `sam2-hf` and `sam2` are beside their networks."""

from __future__ import annotations

from gazecut.protocols import Clip, Provenance
from gazecut.work import Work
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.devices import peak_memory
from gazecut_segmenter.sam2_session import Sam2Session
from gazecut_segmenter.sam2_shared import Network


class Sam2Opener:
    """Opens sessions on clips; the model is frozen and shared by all of them."""

    def __init__(self, network: Network, options: Sam2HfOptions, work: Work, revision: str | None) -> None:
        """Take a network on its device.

        Args:
            network: The model.
            options: Of the segmenter.
            work: Where encodings are counted.
            revision: Commit of the weights, where they came from the hub.
        """
        self._network, self._options, self._work, self._revision = network, options, work, revision

    def open(self, clip: Clip) -> Sam2Session:
        """Get ready for one clip; frames are decoded and encoded when they are first needed."""
        return Sam2Session(clip, self._network, self._options, self._work)

    def describe(self) -> Provenance:
        """Device, precision and weights."""
        return Provenance(str(self._network.device), self._options.precision, self._options.weights, self._revision)

    def peak_memory(self) -> int:
        """Most device memory in use so far, in bytes; 0 on a CPU."""
        return peak_memory(self._network.device)
