"""Batches of rendered scenes with questions, each a pure function of (stage, seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from gazecut.prompts import candidate_list, prompt_set, render, sentence
from gazecut.world import (
    COLOURS,
    GROUNDS,
    HELD_OUT,
    PATTERNS,
    SHAPES,
    Body,
    Expression,
    Kind,
    Plan,
    attributes,
    expressions,
    paint,
    plan,
)
from gazecut.world.paint import area
from gazecut_training.config import TRAINING_SEEDS, Config, Stage, View
from gazecut_training.model import FRAME_SIZE, VIDEO_SIZE
from gazecut_training.packing import patch_windows
from gazecut_training.tokenizer import (
    ATTRIBUTES,
    END,
    FILLERS,
    REASONING,
    START,
    SYSTEM,
    VISION_END,
    VISION_START,
    build_tokenizer,
)

Name = TypeVar("Name", bound=str)

FRAMES: Final = 8
GRIDS: Final[dict[View, tuple[int, int, int]]] = {  # slots and tokens (t, h, w)
    "crop": (1, 8, 8),
    "image": (1, 8, 8),
    "pair": (1, 8, 8),
    "frame": (1, 16, 16),
    "clip": (4, 8, 8),
}
VISIBLE: Final = 0.35  # share of a named object that must be seen
FILLED: Final = 0.6  # share of questions with filler words before them, in a batch that has any
FILLER_CAPS: Final = (0, 3, 5, 10)  # most filler words in a batch, drawn evenly: padding follows the longest
MISNAMED: Final = 0.5  # share of names whose noun is wrong: the answer is what is seen
STEERED: Final = 0.12  # share of the object question with attributes among the long questions
SMALL_CLIPS: Final = 0.35  # share of frames that come from a 128 px clip, enlarged
LARGE_CLIPS: Final = 0.25  # share of clips that come from 256 px, reduced
STILL_VIEWS: Final = ("crop", "image", "frame")
MOTION_IN_STILLS: Final = 0.06  # weight of motion expressions where they cannot be answered
COPIED: Final = 0.2  # factor on kinds where the answer (or a part of it) stands in the question
CONTENT: Final = 1.0
SEEN: Final = 3.0  # loss weight of colour and motion where the question does not tell them
HUE_AT: Final = 5  # position of the colour in the attribute answer
FRAME_WORDS: Final = 0.1  # loss weight of commas, full stops and fixed phrases


@dataclass(frozen=True)
class Question:
    """One turn: the text before the answer, the answer, and what it probes.

    For the log alone. The probe is the kind of expression for an object question, "background", "category", "steered", and in the
    attribute turn "attributes" (the shape), "hue" (a colour that the question does not tell) or "how" (the motion).
    """

    text: str
    answer: str
    probe: str


@dataclass(frozen=True)
class Block:
    """Questions of one length class.

    Attributes:
        ids: (B, K, L) token ids, padded on the right.
        weights: (B, K, L) float32; the loss weight of predicting the *next* token at each position.
        probes: (B, K) names of what the first content word of each answer shows.
        at: (B, K) position that predicts the probed word.
    """

    ids: Tensor
    weights: Tensor
    probes: list[list[str]]
    at: Tensor


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        view: How the scenes are shown, or "text" for turns without vision.
        patches: (S * windows, 64, F) uint8 from `patch_windows`, or None.
        grid: Slots and tokens (t, h, w), or None.
        before: Token ids before the visual tokens.
        after: Token ids between the visual tokens and the questions.
        blocks: Questions.
    """

    view: str
    patches: Tensor | None
    grid: tuple[int, int, int] | None
    before: list[int]
    after: list[int]
    blocks: list[Block]


class PocketData(Dataset[list[Batch]]):
    """Step -> the batches of that step."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, step: int) -> list[Batch]:
        torch.set_num_threads(1)
        stage = self._config.stage(step)
        rng = np.random.default_rng([self._config.seed, step])
        batches = [scene_batch(rng, stage)]
        if stage.text:
            batches.append(text_batch(rng, stage.text))
        return batches


def scene_batch(rng: np.random.Generator, stage: Stage) -> Batch:
    """Scenes in one view, with their questions."""
    view = _pick(rng, stage.views)
    slots: list[NDArray[np.uint8]] = []
    short: list[list[Question]] = []
    long: list[list[Question]] = []
    while len(slots) < stage.batch[view]:
        shown = _show(rng, stage, view)
        if shown is None:
            continue
        frames, ask = shown
        slots.append(frames)
        short.append([ask.short() for _ in range(stage.short)])
        long.append([ask.long() for _ in range(stage.long)])
    size = slots[0].shape[-2]
    fillers = int(rng.choice(FILLER_CAPS))
    stacked = torch.from_numpy(np.stack(slots)).view(-1, 1 if view in STILL_VIEWS else 2, size, size, 3)
    return Batch(
        view=view,
        patches=patch_windows(stacked),
        grid=GRIDS[view],
        before=_before(rng),
        after=_tokens(VISION_END),
        blocks=[_block(rng, questions, fillers) for questions in (short, long) if questions[0]],
    )


def text_batch(rng: np.random.Generator, count: int) -> Batch:
    """Category questions, which have no visual tokens."""
    questions = [[category_question(rng) for _ in range(count)]]
    return Batch("text", None, None, _before(rng)[:-1], [], [_block(rng, questions, 0)])


class _Asker:
    """Draws questions about one shown scene."""

    def __init__(
        self, rng: np.random.Generator, stage: Stage, scene: Plan, named: dict[Kind, list[Expression]], view: View, moment: float
    ) -> None:
        self._rng, self._stage, self._scene, self._named = rng, stage, scene, named
        self._moving, self._moment, self._view = view not in STILL_VIEWS, moment, view

    def short(self) -> Question:
        if self._rng.random() < self._stage.background:
            category = str(self._rng.choice(SHAPES))
            return Question(render(prompt_set("decaf").template("background"), category=category), self._scene.ground.text, "background")
        expression = self._draw()
        text, probe = expression.text, str(expression.kind)
        if expression.kind == "name" and self._rng.random() < MISNAMED:
            text, probe = self._misname(expression), "misnamed"
        return Question(render(prompt_set("decaf").template("object"), expression=sentence(text)), expression.answer, probe)

    def long(self) -> Question:
        expression = self._draw("colour")
        if self._rng.random() < STEERED:
            hint = ", ".join(self._attributes(expression))
            prompt = render(prompt_set("steerseg").template("object"), expression=sentence(expression.text), attributes=hint)
            return Question(prompt, expression.answer, "steered")
        prompt = render(prompt_set("steerseg").template("attributes"), expression=sentence(expression.text))
        answer = attribute_answer(expression, self._attributes(expression))
        if self._moving and len(expression.object_ids) == 1 and expression.kind != "motion" and self._rng.random() < 0.5:
            return Question(prompt, answer, "how")
        told = any(colour in expression.text for colour in COLOURS)
        return Question(prompt, answer, "attributes" if told else "hue")

    def _misname(self, expression: Expression) -> str:
        """Say "the red star" for a red circle where nothing is a star: right answers to names then need a look."""
        target = self._scene.bodies[expression.object_ids[0]]
        absent = [shape for shape in SHAPES if all(body.shape != shape for body in self._scene.bodies)]
        alone = sum(body.colour == target.colour for body in self._scene.bodies) == 1
        return f"the {target.colour} {self._rng.choice(absent)}" if alone and absent else expression.text

    def _attributes(self, expression: Expression) -> tuple[str, ...]:
        return target_attributes(self._scene.bodies, expression, self._moment, self._moving)

    def _draw(self, copied: Kind | None = None) -> Expression:
        weights = {k: self._stage.kinds.get(k, 0.0) for k in self._named}
        if copied in weights:
            weights[copied] *= COPIED
        if not self._moving and "motion" in weights:
            weights["motion"] *= MOTION_IN_STILLS
        if not any(weights.values()):
            weights = dict.fromkeys(weights, 1.0)
        among = self._named[_pick(self._rng, weights)]
        return among[int(self._rng.integers(len(among)))]


def attribute_answer(expression: Expression, words: Sequence[str]) -> str:
    """The answer of the attribute turn."""
    plural = len(expression.object_ids) > 1
    subject = f"{expression.answer}{'es' if expression.answer.endswith('s') else 's'} fit" if plural else f"{expression.answer} fits"
    return f"{REASONING} {subject}.{ATTRIBUTES} {', '.join(words)}"


def target_attributes(bodies: Sequence[Body], expression: Expression, moment: float, moving: bool) -> tuple[str, ...]:
    """What the named objects have in common, of colour, size, place and motion."""
    lists = [attributes(bodies[i], moment=moment, moving=moving) for i in expression.object_ids]
    return tuple(word for word, *others in zip(*lists, strict=True) if all(word == other for other in others))


def category_question(rng: np.random.Generator) -> Question:
    """A category choice: the shape that the expression names, else the most frequent candidate."""
    scene = plan(_training_seed(rng))
    expression = expressions(scene)[int(rng.integers(len(expressions(scene))))]
    others = [str(s) for s in rng.permutation(SHAPES)]
    count = int(rng.integers(2, 12))
    favour = rng.choice([0.45, 0.7, 0.9])
    while True:
        answers = [others[0] if rng.random() < favour else str(rng.choice(others[1:3])) for _ in range(count)]
        tally = sorted(((answers.count(a), a) for a in set(answers)), reverse=True)
        if len(tally) == 1 or tally[0][0] > tally[1][0]:
            break
    words = expression.text.split()
    named = [shape for shape in SHAPES if shape in words]
    prompt = render(prompt_set("decaf").template("category"), expression=sentence(expression.text), candidates=candidate_list(answers))
    return Question(prompt, named[0] if named else tally[0][1], "category")


def _show(rng: np.random.Generator, stage: Stage, view: View) -> tuple[NDArray[np.uint8], _Asker] | None:
    """Frames (T, size, size, 3) of a drawn scene and who asks about them; None when nothing can be asked."""
    counts = stage.objects.get(view)
    theme = _pick(rng, stage.themes) if stage.themes else None
    number = int(rng.choice(counts)) if counts else None
    scene = plan(_training_seed(rng), objects=number, theme=theme, scale=2.0 if view == "crop" else 1.0)
    if rng.random() < stage.plain:
        scene = replace(scene, ground=replace(scene.ground, pattern="plain"))
    moments = _moments(rng, view)
    frames, labels = _picture(rng, scene, view, moments)
    seen = [_seen(labels, i, body) for i, body in enumerate(scene.bodies)]
    named: dict[Kind, list[Expression]] = {}
    for expression in expressions(scene):
        if all(seen[i] >= VISIBLE for i in expression.object_ids):
            named.setdefault(expression.kind, []).append(expression)
    if not named:
        return None
    moment = 0.5 if view == "clip" else float(moments.mean())
    return frames, _Asker(rng, stage, scene, named, view, moment)


def _moments(rng: np.random.Generator, view: View) -> NDArray[np.float64]:
    if view == "clip":
        return np.linspace(0.0, 1.0, FRAMES)
    if view == "pair":
        return (int(rng.integers(FRAMES - 1)) + np.arange(2.0)) / (FRAMES - 1)
    return rng.random(1)


def _picture(
    rng: np.random.Generator, scene: Plan, view: View, moments: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if view == "frame" and rng.random() < SMALL_CLIPS:
        frames, labels = paint(scene, moments, VIDEO_SIZE)
        return resize(frames, FRAME_SIZE), labels
    if view == "clip" and rng.random() < LARGE_CLIPS:
        frames, labels = paint(scene, moments, FRAME_SIZE)
        return resize(frames, VIDEO_SIZE), labels
    return paint(scene, moments, FRAME_SIZE if view == "frame" else VIDEO_SIZE)


def resize(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic with antialiasing, as the processor resizes; (T, H, W, 3) uint8 in and out."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    resized = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


def _seen(labels: NDArray[np.uint8], index: int, body: Body) -> float:
    """Share of a body's area that is visible, the mean over frames."""
    return float((labels == index + 1).mean()) / area(body)


def _block(rng: np.random.Generator, questions: list[list[Question]], fillers: int) -> Block:
    rows = [[_row(rng, q, fillers) for q in asked] for asked in questions]
    length = max(len(ids) for row in rows for ids, _, _ in row)
    ids = torch.zeros(len(rows), len(rows[0]), length, dtype=torch.long)
    weights = torch.zeros(ids.shape)
    at = torch.zeros(ids.shape[:2], dtype=torch.long)
    for b, row in enumerate(rows):
        for k, (tokens, loss, probe) in enumerate(row):
            ids[b, k, : len(tokens)] = torch.tensor(tokens)
            weights[b, k, : len(loss)] = torch.tensor(loss)
            at[b, k] = probe
    return Block(ids, weights, [[q.probe for q in asked] for asked in questions], at)


def fixed_block(questions: list[Question]) -> Block:
    """Questions about one clip, without fillers."""
    return _block(np.random.default_rng(0), [questions], 0)


def prefix_tokens() -> tuple[list[int], list[int]]:
    """Token ids before and after the visual tokens, as the chat template writes them."""
    return [*_tokens(f"{START}system\n{SYSTEM}{END}\n{START}user\n"), *_tokens(VISION_START)], _tokens(VISION_END)


def _row(rng: np.random.Generator, question: Question, fillers: int) -> tuple[list[int], list[float], int]:
    """Token ids, the loss weight of each next token, and the position that predicts the probed word."""
    filler: list[int] = []
    text = question.text
    if fillers and rng.random() < FILLED:
        chosen = [str(w) for w in rng.choice(FILLERS, int(rng.integers(1, fillers + 1)))]
        filler = [t for i, w in enumerate(chosen) for t in _tokens(w if i == 0 else f" {w}")]
        text = (" " if rng.random() < 0.5 and not text.startswith("\n") else "\n") + text
    asked = [*filler, *_tokens(text), *_tokens(f"{END}\n{START}assistant\n")]
    answer = [*_tokens(question.answer), *_tokens(END)]
    weights = [0.0] * (len(asked) - 1) + _answer_weights(question, answer)
    offset = {"background": 1, "attributes": 1, "hue": HUE_AT, "how": len(answer) - 2}.get(question.probe, 0)
    return [*asked, *answer], weights, len(asked) - 1 + offset


def _answer_weights(question: Question, answer: list[int]) -> list[float]:
    """Loss weight of each answer token: what must be seen counts more than what is copied or fixed."""
    weights = [CONTENT if t in _content() else FRAME_WORDS for t in answer]
    _, found, listed = question.answer.partition(ATTRIBUTES)
    words = listed.strip().split(", ")
    if found and words[0] in COLOURS:
        weights[HUE_AT] = FRAME_WORDS if words[0] in question.text else SEEN
    if found and words[-1].startswith(("still", "moving")):
        count = len(words[-1].split())
        weights[-1 - count : -1] = [CONTENT if words[-1] in question.text else SEEN] * count
    return weights


def _before(rng: np.random.Generator) -> list[int]:
    system = SYSTEM
    if rng.random() < 0.25:
        system = " ".join(str(w) for w in rng.choice(FILLERS, int(rng.integers(2, 9)))) + "."
    return [*_tokens(f"{START}system\n{system}{END}\n{START}user\n"), *_tokens(VISION_START)]


def _training_seed(rng: np.random.Generator) -> int:
    return check_seed(int(rng.integers(TRAINING_SEEDS)))


def check_seed(seed: int) -> int:
    """Pass a scene seed on, unless it is held out.

    Raises:
        ValueError: The seed is held out for evaluation.
    """
    if seed >= HELD_OUT:
        raise ValueError(f"scene seed {seed} is held out (>= {HELD_OUT}); train on seeds below it")
    return seed


def _pick(rng: np.random.Generator, weights: dict[Name, float]) -> Name:
    keys = list(weights)
    shares = np.array([weights[k] for k in keys])
    return keys[int(rng.choice(len(keys), p=shares / shares.sum()))]


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@cache
def _tokens(text: str) -> list[int]:
    return list(_tokenizer()(text).input_ids)


@cache
def _content() -> frozenset[int]:
    """Tokens that carry an answer."""
    plain = [
        *SHAPES,
        *COLOURS,
        *GROUNDS,
        *PATTERNS,
        *["large", "medium", "small", "left", "right", "top", "bottom", "middle", "up", "down", "still", "moving", "on", "at", "in"],
    ]
    return frozenset(t for w in plain for t in (*_tokens(w), *_tokens(f" {w}")))
