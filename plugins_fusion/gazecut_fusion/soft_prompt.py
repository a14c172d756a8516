"""Soft prompts: learned embeddings that ride in a question and draw the attention together (SteerSeg, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gazecut.errors import WeightsError
from gazecut.protocols import Provenance
from gazecut.values import MapSet, Query, Steering
from gazecut_fusion.config import SoftPromptOptions, View
from gazecut_fusion.soft_prompt_files import SoftPrompt, load_soft_prompt
from gazecut_fusion.soft_prompt_places import locate


class SoftPromptFusion:
    """Steers each object query with the soft prompts of its view, and folds nothing.

    Other roles are not steered: what the paper trains is the question for the object. A view without soft prompts is asked as it is.
    """

    def __init__(self, config: SoftPromptOptions) -> None:
        """Load nothing yet: a recipe may name soft prompts that are still to be trained."""
        self._config = config
        self._steerings: dict[View, Steering] = {}
        self._prompts: dict[View, SoftPrompt] = {}

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        """The same queries, those for the object steered.

        Raises:
            WeightsError: The soft prompts of a view are not there, damaged, or were trained for another view or place.
        """
        return [self._steered(query) for query in queries]

    def fuse(self, maps: MapSet) -> MapSet:
        """The maps as they are."""
        return maps

    def check_backbone(self, backbone: Provenance) -> None:
        """Refuse a model that the soft prompts in use were not trained for, where both tell what they are.

        Raises:
            WeightsError: It is another one; says which.
        """
        for view, prompt in self._prompts.items():
            wanted = prompt.record.backbone
            if None not in (wanted.signature, backbone.signature) and wanted.signature != backbone.signature:
                raise WeightsError(
                    f"soft prompts for the {view} view ({self._config.weights.by_view()[view]}) were trained for {wanted.weights} "
                    f"({wanted.mllm}: {wanted.signature}); this recipe's mllm is {backbone.weights} ({backbone.signature}).\n"
                    "Use that model, or train others: gazecut train soft-prompt --recipe RECIPE --data DATA --output FOLDER"
                )

    def _steered(self, query: Query) -> Query:
        addresses = self._config.weights.by_view()
        view = next((each for each in addresses if each == query.view), None)
        if view is None or query.role != "object":
            return query
        if view not in self._steerings:
            self._prompts[view] = self._loaded(view, addresses[view])
            self._steerings[view] = Steering(self._prompts[view].embeddings, self._config.place)
        return replace(query, steering=self._steerings[view])

    def _loaded(self, view: View, address: str) -> SoftPrompt:
        prompt = load_soft_prompt(locate(address, view, self._config.revision))
        record = prompt.record
        if record.view != view:
            raise WeightsError(
                f"soft prompts for the {view} view: {address} holds those of the {record.view} view. "
                f"Name them under fusion.soft-prompt.weights.{record.view}."
            )
        if record.place != self._config.place:
            raise WeightsError(
                f"soft prompts for the {view} view: {address} was trained to stand {record.place}, this recipe puts them "
                f"{self._config.place}. Set fusion.soft-prompt.place to {record.place}, or train others."
            )
        return prompt
