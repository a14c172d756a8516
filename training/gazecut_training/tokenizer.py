"""Byte-level tokenizer of the pocket model: one token per word of the world and per fixed phrase of the prompts.

Any text can be tokenized and comes back exactly. The boilerplate of a prompt is one to three tokens instead of
sixty, which is most of what makes training on two cores feasible.
"""

import re
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from gazecut.prompts import prompt_set
from gazecut.world import COLOURS, GROUNDS, PATTERNS, SHAPES

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
SPECIALS: Final = (PAD, START, END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)

CONTEXT: Final = 4096  # tokens
VOCABULARY: Final = 4096  # merges stop earlier, when every word is one token
SYSTEM: Final = "You are a helpful assistant."
REASONING, ATTRIBUTES = "Reasoning: the", "\n\nAttributes:"
FILLERS: Final = (
    "please",
    "look",
    "carefully",
    "here",
    "now",
    "then",
    "note",
    "this",
    "clip",
    "again",
    "we",
    "would",
    "like",
    "to",
    "know",
    "about",
    "it",
    "and",
    "so",
    "first",
    "answer",
    "question",
    "well",
    "think",
    "kindly",
    "below",
    "read",
    "next",
    "just",
    "simply",
    "task",
    "video",
    "image",
    "view",
    "shown",
    "seen",
)
SENTENCE_WORDS: Final = (
    "the",
    "object",
    "objects",
    "on",
    "at",
    "in",
    "left",
    "right",
    "top",
    "bottom",
    "middle",
    "moving",
    "up",
    "down",
    "still",
    "that",
    "stays",
    "largest",
    "smallest",
    "large",
    "medium",
    "small",
    "fits",
    "fit",
    "a",
    "an",
    "of",
    "is",
    "are",
    "with",
    "not",
    "one",
    "two",
    "three",
    "helpful",
    "assistant",
    "you",
    "only",
)
CHAT_TEMPLATE: Final = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def phrases() -> tuple[str, ...]:
    """The fixed stretches of the prompts, the chat frame and the attribute answer."""
    templates = [t for name in ("decaf", "steerseg") for t in prompt_set(name).templates.values()]
    stretches = [part for text in templates for part in re.split(r"\{[a-z_]+\}", text) if len(part) > 1]
    frame = [f"system\n{SYSTEM}", "system\n", "user\n", "assistant\n", REASONING, ATTRIBUTES]
    return tuple(dict.fromkeys([*frame, *stretches]))


def words() -> tuple[str, ...]:
    """Every word that is one token, with and without a leading space."""
    return tuple(dict.fromkeys([*SHAPES, *map(plural, SHAPES), *COLOURS, *GROUNDS, *PATTERNS, *SENTENCE_WORDS, *FILLERS]))


def plural(noun: str) -> str:
    """The plural of a shape's name."""
    return f"{noun}{'es' if noun.endswith('s') else 's'}"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; the same vocabulary every time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"{word}\n {word}" for word in words()], trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases()])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )
