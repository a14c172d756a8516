"""Sentences that name objects of a plan, each true of exactly the objects it names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from gazecut.world.bodies import SAMPLES, Body, Plan
from gazecut.world.paint import area
from gazecut.world.vocabulary import PLACES, Kind, Side

PLACE_MARGIN: Final = 0.08  # canvases between the centres, at every moment
SIZE_MARGIN: Final = 0.03  # canvases between the radii
AREA_RATIO: Final = 1.15
LARGE, SMALL = 0.135, 0.11  # radii in canvases
MIDDLE: Final = 0.14  # canvases from the centre within which an object is "in the middle"


@dataclass(frozen=True)
class Expression:
    """A sentence and what it means.

    Attributes:
        text: The sentence, lower case, without a full stop.
        kind: What must be looked at to understand it.
        object_ids: The objects it names, ascending.
        answer: The shape of the objects it names, one word.
    """

    text: str
    kind: Kind
    object_ids: tuple[int, ...]
    answer: str


def expressions(plan: Plan) -> tuple[Expression, ...]:
    """All sentences of the world that name objects of a plan without ambiguity."""
    everyone = tuple(range(len(plan.bodies)))
    found: list[Expression] = []
    for kind, write in _WRITERS:
        for text, ids in write(plan.bodies, everyone):
            shape = plan.bodies[ids[0]].shape
            found.append(Expression(text, kind, ids, shape))
    return tuple(found)


def attributes(body: Body, *, moment: float = 0.5, moving: bool = True) -> tuple[str, ...]:
    """Colour, size, place at a moment u and (optionally) motion of a body, in words."""
    words = (body.colour, size_word(body), place_word(body, moment))
    if not moving:
        return words
    return (*words, "still" if body.motion == "still" else f"moving {body.motion}")


def size_word(body: Body) -> str:
    """How large a body is, in one word."""
    if body.radius >= LARGE:
        return "large"
    return "small" if body.radius <= SMALL else "medium"


def place_word(body: Body, moment: float = 0.5) -> str:
    """Where a body is at a moment u: a side, or "in the middle"."""
    x, y = body.path(np.array([moment]))[0] - 0.5
    if max(abs(x), abs(y)) < MIDDLE:
        return "in the middle"
    side: Side = ("left" if x < 0 else "right") if abs(x) >= abs(y) else ("top" if y < 0 else "bottom")
    return PLACES[side]


Named = Iterator[tuple[str, tuple[int, ...]]]


def _colours(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for i in among:
        if _alone(bodies, among, i, lambda b: b.colour):
            yield f"the {bodies[i].colour} object", (i,)


def _names(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for i in among:
        if _alone(bodies, among, i, lambda b: (b.colour, b.shape)):
            yield f"the {bodies[i].colour} {bodies[i].shape}", (i,)
        if _alone(bodies, among, i, lambda b: b.shape):
            yield f"the {bodies[i].shape}", (i,)


def _sizes(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for word, i in _extremes(bodies, among):
        yield f"the {word} object", (i,)


def _places(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for side, i in _sides(bodies, among):
        yield f"the object {PLACES[side]}", (i,)


def _combinations(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for colour in _repeated_colours(bodies):
        same = tuple(i for i in among if bodies[i].colour == colour)
        for word, i in _extremes(bodies, same):
            yield f"the {word} {colour} object", (i,)
        for side, i in _sides(bodies, same):
            yield f"the {colour} object {PLACES[side]}", (i,)


def _motions(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    movers = [i for i in among if bodies[i].motion != "still"]
    still = [i for i in among if bodies[i].motion == "still"]
    for i in movers:
        if _alone(bodies, among, i, lambda b: b.motion):
            yield f"the object moving {bodies[i].motion}", (i,)
    if len(movers) == 1 and still:
        yield "the moving object", (movers[0],)
    if len(still) == 1 and movers:
        yield "the object that stays still", (still[0],)


def _severals(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Named:
    for colour in _repeated_colours(bodies):
        same = tuple(i for i in among if bodies[i].colour == colour)
        if len({bodies[i].shape for i in same}) == 1:
            yield f"the {colour} objects", same


_WRITERS: Final[tuple[tuple[Kind, Callable[[tuple[Body, ...], tuple[int, ...]], Named]], ...]] = (
    ("colour", _colours),
    ("name", _names),
    ("size", _sizes),
    ("place", _places),
    ("combination", _combinations),
    ("motion", _motions),
    ("several", _severals),
)


def _alone(bodies: tuple[Body, ...], among: tuple[int, ...], i: int, trait: Callable[[Body], object]) -> bool:
    return sum(trait(bodies[j]) == trait(bodies[i]) for j in among) == 1


def _repeated_colours(bodies: tuple[Body, ...]) -> list[str]:
    colours = [body.colour for body in bodies]
    return sorted({colour for colour in colours if colours.count(colour) > 1})


def _extremes(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """The largest and the smallest of two or more, where width and area agree by a margin."""
    if len(among) < 2 or any(bodies[i].crosses_edge for i in among):
        return
    order = sorted(among, key=lambda i: bodies[i].radius)
    for word, first, second in (("largest", order[-1], order[-2]), ("smallest", order[0], order[1])):
        wide = abs(bodies[first].radius - bodies[second].radius) >= SIZE_MARGIN
        others = [area(bodies[i]) for i in among if i != first]
        own = area(bodies[first])
        grand = own >= AREA_RATIO * max(others) if word == "largest" else AREA_RATIO * own <= min(others)
        if wide and grand:
            yield word, first


def _sides(bodies: tuple[Body, ...], among: tuple[int, ...]) -> Iterator[tuple[Side, int]]:
    """The outermost of two or more on each side, by a margin at every moment."""
    if len(among) < 2 or any(bodies[i].crosses_edge for i in among):
        return
    centres = np.stack([bodies[i].path(SAMPLES) for i in among])  # (N, 9, 2)
    reach: dict[Side, tuple[int, float]] = {"left": (0, -1.0), "right": (0, 1.0), "top": (1, -1.0), "bottom": (1, 1.0)}
    for side, (axis, sign) in reach.items():
        along = centres[..., axis] * sign
        first = int(along[:, 0].argmax())
        if (along[first] - np.delete(along, first, 0).max(0)).min() >= PLACE_MARGIN:
            yield side, among[first]
