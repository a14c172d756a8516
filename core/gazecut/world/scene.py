"""Rendered scenes: frames, objects with masks, and the sentences that name them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gazecut.errors import WorldError
from gazecut.world.bodies import THEMES, Plan, Theme, draw_plan
from gazecut.world.expressions import Expression, attributes, expressions
from gazecut.world.paint import paint
from gazecut.world.vocabulary import KINDS, Kind, Motion

HELD_OUT: Final = 90_000
"""Seeds from here on are for evaluation alone: nothing is trained or tuned on them."""

SMALLEST: Final = 32  # px
MOST_OBJECTS: Final = 4


@dataclass(frozen=True)
class WorldObject:
    """One object of a scene.

    Attributes:
        id: Its index, in painting order: a higher one covers a lower one.
        shape: "circle", "square", "triangle", "star" or "cross".
        colour: A colour word.
        radius: Half its width in px.
        motion: "left", "right", "up", "down" or "still".
        attributes: Colour, size, place (at half time) and motion as words.
        masks: (T, H, W) bool, the pixels where it is visible.
    """

    id: int
    shape: str
    colour: str
    radius: float
    motion: Motion
    attributes: tuple[str, ...]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """A clip with its truth.

    Attributes:
        seed: The seed it was rendered from.
        frames: (T, H, W, 3) uint8 RGB.
        objects: One to four objects.
        expressions: Sentences, each with the objects it names; in a random order that the seed fixes.
        background: Colour and pattern of the background, such as "gray stripes".
    """

    seed: int
    frames: NDArray[np.uint8]
    objects: tuple[WorldObject, ...]
    expressions: tuple[Expression, ...]
    background: str

    def truth(self, expression: Expression) -> NDArray[np.bool_]:
        """The union (T, H, W) of the masks of the objects an expression names."""
        masks = np.stack([self.objects[i].masks for i in expression.object_ids])
        return np.asarray(masks.any(axis=0))


def render(
    seed: int,
    frames: int = 8,
    size: int = 128,
    *,
    kinds: Collection[Kind] | None = None,
    objects: int | None = None,
    theme: Theme | None = None,
) -> Scene:
    """Render the scene of a seed; other `frames` or `size` sample the same scene differently.

    Args:
        seed: Which scene, from 0; seeds from 90,000 on are held out from all training.
        frames: T frames, spread evenly over the clip.
        size: Width and height in px, at least 32.
        kinds: Keep only expressions of these kinds; None keeps all.
        objects: Number of objects, 1 to 4; None lets the seed choose (mostly 2 or 3).
        theme: How the objects resemble each other: "free", "twins" (a colour repeats), "sizes", "motion"
            (they differ in motion alone) or "several" (two look alike); None lets the seed choose.

    Raises:
        WorldError: An argument is out of range, or a kind or theme is unknown.
    """
    _check(seed, frames, size, kinds, objects, theme)
    scene_plan = plan(seed, objects=objects, theme=theme)
    moments = np.linspace(0.0, 1.0, frames) if frames > 1 else np.array([0.5])
    pixels, labels = paint(scene_plan, moments, size)
    sentences = [e for e in expressions(scene_plan) if kinds is None or e.kind in kinds]
    order = _kind_order(seed, sentences)
    return Scene(
        seed=seed,
        frames=pixels,
        objects=tuple(
            WorldObject(i, b.shape, b.colour, b.radius * size, b.motion, attributes(b), labels == i + 1)
            for i, b in enumerate(scene_plan.bodies)
        ),
        expressions=tuple(sentences[i] for i in order),
        background=scene_plan.ground.text,
    )


def plan(seed: int, *, objects: int | None = None, theme: Theme | None = None, scale: float = 1.0) -> Plan:
    """The scene of a seed without pixels.

    Args:
        seed: Which scene, from 0.
        objects: Number of objects, 1 to 4; None lets the seed choose.
        theme: How the objects resemble each other; None lets the seed choose.
        scale: Factor on all radii; objects too large for the canvas together are drawn again until they fit, so large ones want few.
    """
    counts = None if objects is None else (objects,)
    return draw_plan(np.random.default_rng(seed), counts, theme, scale)


def _kind_order(seed: int, sentences: list[Expression]) -> list[int]:
    """A random order in which the kinds take turns, so that the first few sentences are of many kinds."""
    rng = np.random.default_rng([seed, 1])
    rank = rng.permutation(len(KINDS))
    turn = dict.fromkeys(KINDS, 0)
    keys: list[tuple[int, int, int]] = []
    for i in rng.permutation(len(sentences)):
        kind = sentences[i].kind
        keys.append((turn[kind], int(rank[KINDS.index(kind)]), int(i)))
        turn[kind] += 1
    return [i for _, _, i in sorted(keys)]


def _check(seed: int, frames: int, size: int, kinds: Collection[Kind] | None, objects: int | None, theme: Theme | None) -> None:
    problems = [
        (seed < 0, "seed", seed, "0 or more"),
        (frames < 1, "frames", frames, "1 or more"),
        (size < SMALLEST, "size", size, f"{SMALLEST} px or more"),
        (objects is not None and not 1 <= objects <= MOST_OBJECTS, "objects", objects, f"1 to {MOST_OBJECTS}"),
    ]
    for wrong, name, got, wanted in problems:
        if wrong:
            raise WorldError(f"pocket world: {name} is {got}, wanted {wanted}; pass another {name} to render().")
    unknown = sorted(set(kinds or ()) - set(KINDS))
    if unknown:
        raise WorldError(f"pocket world: no expression is of kind {unknown[0]!r}; kinds are {', '.join(KINDS)}.")
    if theme is not None and theme not in THEMES:
        raise WorldError(f"pocket world: no theme is called {theme!r}; themes are {', '.join(THEMES)}.")
