"""A procedural world of moving coloured shapes, with the truth for every frame."""

from gazecut.world.bodies import THEMES, Body, Ground, Plan, Theme
from gazecut.world.expressions import Expression, attributes, expressions
from gazecut.world.paint import paint
from gazecut.world.scene import HELD_OUT, Scene, WorldObject, plan, render
from gazecut.world.vocabulary import COLOURS, GROUNDS, KINDS, MOTIONS, PATTERNS, SHAPES, Kind, Motion

__all__ = [
    "COLOURS",
    "GROUNDS",
    "HELD_OUT",
    "KINDS",
    "MOTIONS",
    "PATTERNS",
    "SHAPES",
    "THEMES",
    "Body",
    "Expression",
    "Ground",
    "Kind",
    "Motion",
    "Plan",
    "Scene",
    "Theme",
    "WorldObject",
    "attributes",
    "expressions",
    "paint",
    "plan",
    "render",
]
