"""Prompt sets: named groups of templates, one per question that a recipe may ask.

A template's placeholders say what must be asked first: `{category}` needs the category choice over all object answers,
`{attributes}` the attribute turn. Everything else about a template is plain text and kept to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from gazecut.errors import PromptError

PLACEHOLDERS = ("expression", "candidates", "category", "attributes")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_SENTENCE_ENDS = ("?", ".")


@dataclass(frozen=True)
class PromptSet:
    """Templates by role.

    Attributes:
        name: As recipes write it.
        templates: Role ("object", "background", "category", "attributes") to template.

    Raises:
        PromptError: A template has a placeholder that nothing can fill, or the set has no object question.
    """

    name: str
    templates: Mapping[str, str]

    def __post_init__(self) -> None:
        if "object" not in self.templates:
            raise PromptError(
                f'prompt set "{self.name}" has no template "object"; found: {", ".join(sorted(self.templates)) or "nothing"}. '
                "Every set asks for the object; add one."
            )
        for role, template in self.templates.items():
            unknown = sorted(placeholders(template) - set(PLACEHOLDERS))
            if unknown:
                raise PromptError(
                    f'prompt set "{self.name}", template "{role}": unknown placeholder {{{unknown[0]}}}; '
                    f"allowed: {', '.join('{' + name + '}' for name in PLACEHOLDERS)}."
                )

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


def sentence(expression: str) -> str:
    """The expression as every prompt quotes it: lower case, closed by "." unless it ends in "?" or ".".

    Raises:
        PromptError: The expression is empty.
    """
    text = expression.strip()
    if not text:
        raise PromptError('the expression is empty; say what to segment, for example "the red circle".')
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
    """The comma-separated attributes of an attribute turn's answer, or None where it has no "Attributes:" line."""
    _, found, rest = answer.rpartition("Attributes:")
    line = rest.strip().splitlines()[0].strip().rstrip(".") if found and rest.strip() else ""
    return line or None


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
    if name not in builtin_prompt_sets():
        raise PromptError(f'no prompt set is called "{name}"; there are: {", ".join(builtin_prompt_sets())}.')
    content = yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return PromptSet(name, {role: text for role, text in content.items() if role not in ("version", "about")})
