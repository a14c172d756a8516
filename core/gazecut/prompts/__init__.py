"""Prompt sets: named groups of templates, one per question that a recipe may ask.

A template's placeholders say what must be asked first: `{category}` needs the category choice over all object answers,
`{attributes}` the attribute turn. Everything else about a template is plain text and kept to the byte.

A set is a YAML file in this folder. One that says `extends` words some questions anew and takes the others over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from gazecut.errors import PromptError
from gazecut.wording import shown

ROLES = ("object", "background", "category", "attributes")
"""What Gazecut's own components ask; strategies of plugins may ask more."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ATTRIBUTES = re.compile(r"\battributes\W*:", re.IGNORECASE)
_REASONING = re.compile(r"^\W*reasoning\W*:", re.IGNORECASE)
_BULLET = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_NO_TEXT = re.compile("[\ud800-\udfff]")  # what Python makes of arguments that it cannot decode
_DECORATION = " \t*_`'\"‘’“”<>[]()."
_SENTENCE_ENDS = ("?", ".")
_KNOWN_BY_THEN = {
    "attributes": ("expression",),
    "object": ("expression", "attributes"),
    "category": ("expression", "candidates"),
}
_KNOWN_AT_LAST = ("expression", "attributes", "category")


@dataclass(frozen=True)
class PromptSet:
    """Templates by role.

    Attributes:
        name: As recipes write it; a set that a recipe words itself has the recipe's name.
        templates: Role ("object", "background", "category", "attributes", or what a strategy asks besides) to template.

    Raises:
        PromptError: A template has a placeholder that nothing can fill, or the set has no object question.
    """

    name: str
    templates: Mapping[str, str]

    def __post_init__(self) -> None:
        for role, fault in faults(self.templates):
            raise PromptError(f'prompt set "{self.name}", template "{role}": {fault}.')

    def template(self, role: str) -> str:
        """The template of a role.

        Raises:
            PromptError: The set has none for it.
        """
        try:
            return self.templates[role]
        except KeyError:
            raise PromptError(
                f'prompt set "{self.name}" has no template "{role}"; it has: {", ".join(sorted(self.templates))}. '
                "Use a set that has one, or drop the stage that asks for it."
            ) from None


def placeholders(template: str) -> frozenset[str]:
    """Names in braces that a template wants filled."""
    return frozenset(_PLACEHOLDER.findall(template))


def faults(templates: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What keeps templates from being a prompt set: role and fault, one after the other."""
    if "object" not in templates:
        yield "object", "missing; every set asks for the object"
    for role, template in templates.items():
        if not template.strip():
            yield role, "empty; wanted the words of a question"
        known = _KNOWN_BY_THEN.get(role, _KNOWN_AT_LAST)
        for name in sorted(placeholders(template)):
            if name not in known:
                allowed = ", ".join(f"{{{each}}}" for each in known)
                yield role, f"nothing can fill the placeholder {{{name}}} here; allowed: {allowed}"
            elif name in ROLES and name not in templates:
                yield role, f'{{{name}}} comes from the template "{name}", which the set does not have'


def sentence(expression: str) -> str:
    """The expression as every prompt quotes it: lower case, closed by "." unless it ends in "?" or ".".

    Raises:
        PromptError: The expression is empty, or holds what is no text.
    """
    text = expression.strip()
    if not text:
        raise PromptError('the expression is empty; say what to segment, for example "the red circle".')
    if _NO_TEXT.search(text):
        what = "a byte that is not UTF-8, or half a character"
        raise PromptError(f'the expression "{shown(text)}" holds {what}; give it as text in UTF-8.')
    return (text if text.endswith(_SENTENCE_ENDS) else text + ".").lower()


def candidate_list(answers: Sequence[str]) -> str:
    """Object answers as the category choice lists them: stripped, lower case, joined by ",", duplicates kept."""
    return ",".join(answer.strip().lower() for answer in answers)


def render(template: str, **values: str) -> str:
    """Fill a template's placeholders; other braces stay as they are.

    Args:
        template: Text with placeholders in braces.
        **values: One text per placeholder name; more than the template wants is fine.

    Raises:
        PromptError: A placeholder has no value.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise PromptError(
                f"no value for {{{name}}} in the prompt template {template[:60]!r}; given: {', '.join(sorted(values)) or 'nothing'}."
            )
        return values[name]

    return _PLACEHOLDER.sub(value, template)


def parse_attributes(answer: str) -> str | None:
    """The comma-separated attributes of an attribute turn's answer, or None where it has no "Attributes:" line.

    The last such line counts. Quotes, brackets, bold type and the final full stop are no part of the list; one that is written as
    bullets below the line is joined by commas.
    """
    labels = list(_ATTRIBUTES.finditer(answer))
    rest = answer[labels[-1].end() :] if labels else ""
    lines = [line for line in rest.splitlines() if line.strip(_DECORATION)]
    listed = [line for line in lines if _BULLET.match(line)] if lines and _BULLET.match(lines[0]) else lines[:1]
    items = (_BULLET.sub("", line, count=1).strip(_DECORATION) for line in listed)
    return ", ".join(item for item in items if item) or None


def told_attributes(answer: str) -> str:
    """What stands for the attributes: the list where the answer has one, else all its words, for they still describe the target.

    A model that ignores the format is no reason to ask without attributes, nor to stop.
    """
    return parse_attributes(answer) or " ".join(_REASONING.sub("", answer).split())


def builtin_prompt_sets() -> tuple[str, ...]:
    """Names of the prompt sets that ship with Gazecut."""
    folder = resources.files(__name__)
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@cache
def prompt_set(name: str) -> PromptSet:
    """A built-in prompt set.

    Raises:
        PromptError: There is none of that name.
    """
    return PromptSet(name, merged([name]))


def merged(names: Sequence[str]) -> dict[str, str]:
    """Templates of built-in sets, by role: all of the first, then what each of the others words itself, the last word counting.

    So `merged(["decaf-object-v1", "decaf-background-v2"])` is DecAF with both questions reworded.

    Raises:
        PromptError: There is no set of one of the names.
    """
    templates: dict[str, str] = {}
    for name in names:
        base, own = _file(name)
        templates |= {**(merged([base]) if base and not templates else {}), **own}
    return templates


@cache
def _file(name: str) -> tuple[str | None, dict[str, str]]:
    """The set that a set extends, or None, and the templates that it words itself."""
    if name not in builtin_prompt_sets():
        raise PromptError(f'no prompt set is called "{name}"; there are: {", ".join(builtin_prompt_sets())}.')
    content = yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return content.get("extends"), {role: text for role, text in content.items() if role not in ("version", "about", "extends")}
