"""The pocket world: the same seed is the same scene, and every sentence is true of exactly what it names."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.errors import WorldError
from gazecut.world import KINDS, SHAPES, Body, Expression, Plan, Scene, expressions, plan, render
from gazecut.world.paint import paint, paint_ground

SEEDS = st.integers(0, 200_000)


@given(SEEDS)
@settings(max_examples=15)
def test_same_seed_same_scene(seed: int) -> None:
    first, second = render(seed, frames=3, size=64), render(seed, frames=3, size=64)
    np.testing.assert_array_equal(first.frames, second.frames)
    assert first.expressions == second.expressions
    assert first.frames.shape == (3, 64, 64, 3)
    assert first.frames.dtype == np.uint8


@given(SEEDS)
@settings(max_examples=15)
def test_other_sizes_and_lengths_sample_the_same_scene(seed: int) -> None:
    small, large = render(seed, frames=3, size=64), render(seed, frames=5, size=128)
    assert small.expressions == large.expressions
    assert small.background == large.background
    for one, other in zip(small.objects, large.objects, strict=True):
        assert (one.shape, one.colour, one.motion) == (other.shape, other.colour, other.motion)
        assert one.radius * 2 == pytest.approx(other.radius)
        for t_small, t_large in ((0, 0), (1, 2), (2, 4)):  # the same moments of the clip
            shrunk = other.masks[t_large].reshape(64, 2, 64, 2).mean((1, 3))
            assert np.abs(shrunk - one.masks[t_small]).mean() < 0.02


@given(SEEDS)
@settings(max_examples=15)
def test_masks_are_disjoint_and_show_their_colour(seed: int) -> None:
    scene = render(seed, frames=3, size=96)
    assert np.stack([o.masks for o in scene.objects]).sum(0).max() <= 1
    assert any(o.masks.any() for o in scene.objects)
    for thing, body in zip(scene.objects, plan(seed).bodies, strict=True):
        if thing.masks.sum() > 200:
            assert np.abs(np.median(scene.frames[thing.masks], axis=0) - body.rgb).max() < 12


@given(seed=SEEDS, size=st.integers(32, 160))
@settings(max_examples=30)
def test_masks_lie_where_it_is_painted_to_a_pixel(seed: int, size: int) -> None:
    scene = plan(seed)
    pixel = np.ones((3, 3), np.uint8)
    for body in scene.bodies:
        alone = dataclasses.replace(scene, bodies=(dataclasses.replace(body, rgb=(255, 0, 255)),), noise=0.0)
        for frame, label in zip(*paint(alone, np.linspace(0, 1, 3), size), strict=True):
            painted = (frame != paint_ground(scene.ground, size)).any(axis=2).astype(np.uint8)
            whole = (frame == (255, 0, 255)).all(axis=2).astype(np.uint8)
            inner = np.s_[1:-1, 1:-1]  # of what only grazes the edge, a row of pixels may be masked and not painted
            assert not (label > cv2.dilate(painted, pixel))[inner].any()
            assert not (cv2.erode(whole, pixel) > label)[inner].any()


@given(SEEDS)
@settings(max_examples=200)
def test_expressions_name_exactly_their_objects(seed: int) -> None:
    scene = plan(seed)
    found = expressions(scene)
    assert found
    assert len({e.text for e in found}) == len(found)
    for expression in found:
        assert set(expression.object_ids) == _meant(scene, expression)
        assert {scene.bodies[i].shape for i in expression.object_ids} == {expression.answer}


def _meant(scene: Plan, expression: Expression) -> set[int]:
    """The objects a sentence is true of, read word by word."""
    words = expression.text.split()
    ids = set(range(len(scene.bodies)))
    colour = {i for i in ids if scene.bodies[i].colour in words} if any(b.colour in words for b in scene.bodies) else ids
    shape = {i for i in colour if scene.bodies[i].shape in words} if words[-1] in SHAPES else colour
    if "moving" in words or "still" in words:
        return {i for i in shape if _moves(scene.bodies[i], words)}
    if "largest" in words or "smallest" in words:
        best = max if "largest" in words else min
        return {best(shape, key=lambda i: scene.bodies[i].radius)}
    axis_sign = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}.get(words[-1])
    if axis_sign:
        axis, sign = axis_sign
        moments = np.linspace(0, 1, 30)
        reach = {i: sign * scene.bodies[i].path(moments)[:, axis] for i in shape}
        return {i for i in shape if all((reach[i] > reach[j] + 0.05).all() for j in shape - {i})}
    return shape


def _moves(body: Body, words: list[str]) -> bool:
    if "still" in words:
        return body.motion == "still"
    return body.motion == words[-1] or (words[-1] == "object" and body.motion != "still")


def test_kinds_and_distractors_are_common() -> None:
    scenes = [plan(seed) for seed in range(400)]
    kinds = Counter(kind for scene in scenes for kind in {e.kind for e in expressions(scene)})
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 40
    counts = Counter(len(scene.bodies) for scene in scenes)
    assert counts[2] + counts[3] > 300
    shared = [len({b.colour for b in s.bodies}) < len(s.bodies) for s in scenes if len(s.bodies) > 1]
    assert np.mean(shared) > 0.35
    assert np.mean([b.crosses_edge for s in scenes for b in s.bodies]) > 0.03


def test_movement_is_per_clip() -> None:
    for seed in range(50):
        for body in plan(seed).bodies:
            length = np.hypot(*(np.subtract(body.end, body.start)))
            assert length == 0 if body.motion == "still" else 0.24 < length < 0.7


def test_first_expressions_are_of_different_kinds() -> None:
    scene: Scene = render(3, frames=1)
    kinds = [e.kind for e in scene.expressions]
    assert len(set(kinds[:3])) == min(3, len(set(kinds)))


def test_one_expression_kind_and_truth() -> None:
    scene = render(11, frames=2, kinds=["motion"], theme="motion", objects=3)
    assert {e.kind for e in scene.expressions} == {"motion"}
    expression = scene.expressions[0]
    np.testing.assert_array_equal(scene.truth(expression), scene.objects[expression.object_ids[0]].masks)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seed": -1}, "seed is -1, wanted 0 or more"),
        ({"frames": 0}, "frames is 0, wanted 1 or more"),
        ({"size": 8}, "size is 8, wanted 32 px or more"),
        ({"objects": 9}, "objects is 9, wanted 1 to 4"),
        ({"kinds": ["taste"]}, "no expression is of kind 'taste'"),
        ({"theme": "noir"}, "no theme is called 'noir'"),
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(WorldError, match=says):
        render(**{"seed": 1, **wrong})  # type: ignore[arg-type]
