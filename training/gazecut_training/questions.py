"""Questions about a shown scene, with the answers that are to be learned.

An answer is never found in attention maps, only in words. Names ("the red circle") would teach nothing, since the answer stands
in the question; so half of them name a shape that is not there, and the answer is what is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from gazecut.prompts import candidate_list, prompt_set, render, sentence
from gazecut.world import COLOURS, SHAPES, Body, Expression, Kind, Plan, attributes, expressions
from gazecut_training.config import Stage
from gazecut_training.tokenizer import ATTRIBUTES, REASONING, plural

Name = TypeVar("Name", bound=str)

MISNAMED: Final = 0.5  # share of names whose noun is wrong
STEERED: Final = 0.12  # share of the object question with attributes among the long questions
MOTION_IN_STILLS: Final = 0.06  # factor on motion expressions where they cannot be answered
HOW: Final = 0.5  # share of attribute turns whose motion the log watches, where it is seen and not told
CANDIDATES: Final = (2, 11)  # fewest and most answers that a category is chosen from
AGREEING: Final = (0.45, 0.7, 0.9)  # shares of candidates that agree, drawn evenly
COPIED: Final = 0.2  # factor on colour expressions in the attribute turn, where the colour stands in the question
MOTIONS: Final = ("still", "moving")  # what a word of motion starts with


@dataclass(frozen=True)
class Question:
    """One turn.

    Attributes:
        text: The user's text.
        answer: The assistant's text.
        probe: What the log watches: for an object question the kind of its expression, else "background", "category", "steered",
            "misnamed", and in the attribute turn "attributes" (the shape), "hue" (a colour the question does not tell) or "how"
            (the motion).
    """

    text: str
    answer: str
    probe: str


@dataclass(frozen=True)
class Shown:
    """What can be asked about the pixels of a scene.

    Attributes:
        scene: The scene.
        named: Expressions whose objects can be seen, by kind.
        moment: The moment u that place words speak of.
        moving: Whether motion can be seen.
    """

    scene: Plan
    named: dict[Kind, list[Expression]]
    moment: float
    moving: bool


class Asker:
    """Draws questions about one shown scene, in the mix of a stage."""

    def __init__(self, rng: np.random.Generator, stage: Stage, shown: Shown) -> None:
        self._rng, self._stage, self._shown = rng, stage, shown

    def short(self) -> Question:
        """A question with a short answer: the object, or the background."""
        if self._rng.random() < self._stage.background:
            category = str(self._rng.choice(SHAPES))
            prompt = render(prompt_set("decaf").template("background"), category=category)
            return Question(prompt, self._shown.scene.ground.text, "background")
        expression = self._draw()
        text, probe = expression.text, str(expression.kind)
        if expression.kind == "name" and self._rng.random() < MISNAMED:
            text, probe = self._misname(expression), "misnamed"
        return Question(render(prompt_set("decaf").template("object"), expression=sentence(text)), expression.answer, probe)

    def long(self) -> Question:
        """The attribute turn, or the object question that follows it."""
        expression = self._draw("colour")
        words = target_attributes(self._shown.scene.bodies, expression, self._shown.moment, self._shown.moving)
        templates, text = prompt_set("steerseg"), sentence(expression.text)
        if self._rng.random() < STEERED:
            prompt = render(templates.template("object"), expression=text, attributes=", ".join(words))
            return Question(prompt, expression.answer, "steered")
        prompt, answer = render(templates.template("attributes"), expression=text), attribute_answer(expression, words)
        if self._shown.moving and len(expression.object_ids) == 1 and expression.kind != "motion" and self._rng.random() < HOW:
            return Question(prompt, answer, "how")
        told = any(colour in expression.text for colour in COLOURS)
        return Question(prompt, answer, "attributes" if told else "hue")

    def _misname(self, expression: Expression) -> str:
        """Say "the red star" for a red circle where nothing is a star."""
        bodies = self._shown.scene.bodies
        colour = bodies[expression.object_ids[0]].colour
        absent = [shape for shape in SHAPES if all(body.shape != shape for body in bodies)]
        alone = sum(body.colour == colour for body in bodies) == 1
        return f"the {colour} {self._rng.choice(absent)}" if alone and absent else expression.text

    def _draw(self, copied: Kind | None = None) -> Expression:
        weights = {kind: self._stage.kinds.get(kind, 0.0) for kind in self._shown.named}
        if copied in weights:
            weights[copied] *= COPIED
        if not self._shown.moving and "motion" in weights:
            weights["motion"] *= MOTION_IN_STILLS
        if not any(weights.values()):
            weights = dict.fromkeys(weights, 1.0)
        among = self._shown.named[pick(self._rng, weights)]
        return among[int(self._rng.integers(len(among)))]


def attribute_answer(expression: Expression, words: Sequence[str]) -> str:
    """The answer of the attribute turn."""
    subject = f"{plural(expression.answer)} fit" if len(expression.object_ids) > 1 else f"{expression.answer} fits"
    return f"{REASONING} {subject}.{ATTRIBUTES} {', '.join(words)}"


def listed(answer: str) -> list[str]:
    """The words of an attribute answer; one empty word for any other."""
    return answer.partition(ATTRIBUTES)[2].strip().split(", ")


def target_attributes(bodies: Sequence[Body], expression: Expression, moment: float, moving: bool) -> tuple[str, ...]:
    """What the named objects have in common, of colour, size, place and motion."""
    lists = [attributes(bodies[i], moment=moment, moving=moving) for i in expression.object_ids]
    return tuple(word for word, *others in zip(*lists, strict=True) if all(word == other for other in others))


def category_question(rng: np.random.Generator, scene: Plan) -> Question:
    """A category choice: the shape that the expression names, else the most frequent candidate."""
    expression = expressions(scene)[int(rng.integers(len(expressions(scene))))]
    others = [str(s) for s in rng.permutation(SHAPES)]
    count = int(rng.integers(CANDIDATES[0], CANDIDATES[1] + 1))
    agreeing = rng.choice(AGREEING)
    while True:
        answers = [others[0] if rng.random() < agreeing else str(rng.choice(others[1:3])) for _ in range(count)]
        tally = sorted(((answers.count(a), a) for a in set(answers)), reverse=True)
        if len(tally) == 1 or tally[0][0] > tally[1][0]:
            break
    words = expression.text.split()
    named = [shape for shape in SHAPES if shape in words]
    prompt = render(prompt_set("decaf").template("category"), expression=sentence(expression.text), candidates=candidate_list(answers))
    return Question(prompt, named[0] if named else tally[0][1], "category")


def pick(rng: np.random.Generator, weights: dict[Name, float]) -> Name:
    """Draw a key in proportion to its weight."""
    keys = list(weights)
    shares = np.array([weights[k] for k in keys])
    return keys[int(rng.choice(len(keys), p=shares / shares.sum()))]
