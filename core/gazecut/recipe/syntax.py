"""YAML text as PyYAML's nodes: stricter than PyYAML, nearer to what a reader expects, and bounded in what it may cost.

`on` and `yes` are text, `1e-3` is a number. There are no aliases, tags or second documents: what stands in a recipe is what it says.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_CHARACTERS = 2**14
"""Longest text; twenty times the longest recipe that ships, and read in well under a second whatever it contains."""

MOST_DEPTH = 32
"""Deepest nesting; options nest three or four levels."""

FLOAT_TAG = "tag:yaml.org,2002:float"
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$")
NULL_TAG, BOOL_TAG, INT_TAG = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int"))

INSTEAD = 'write the value out, or build on a recipe with "extends"'
_SCALARS = (
    (NULL_TAG, re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    (BOOL_TAG, re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (INT_TAG, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789")),
    (FLOAT_TAG, FLOAT, list("-+.0123456789")),
)
_UNDECODED = range(0xDC80, 0xDD00)
"""What bytes that are not UTF-8 become under the error handler "surrogateescape"."""

_UNCLOSED = "a quote is opened here and never closed"
_NO_COLON = 'a line without ":"; wanted "key: value"'
_IN_OTHER_WORDS = (
    (r"found character '\\t' that cannot start any token", "a tab; indent with spaces"),
    (r"found character '(.)' that cannot start any token", r'"\1" cannot begin a plain text; put the text in quotes'),
    (r"mapping values are not allowed here", 'a second ": " on one line; put a text that has one in quotes, and every key on its own line'),
    (r"while scanning a quoted scalar, found .*", _UNCLOSED),
    (r".*but (?:found|got) '<stream end>'", "the text ends inside brackets that are still open"),
    (r".*expected ',' or '(.)', but got .*", r'a comma is missing here, or a "\1" before this'),
    (r".*expected <block end>, but found .*", "this does not fit the lines above; indent the entries of a block alike, put text in quotes"),
    (r".*expected the node content, but found '(.+)'", r'a value is missing before "\1"'),
    (r".*could not find expected ':'", _NO_COLON),
    (r"found duplicate anchor '(.*)'; .*", r'anchor "&\1" stands here a second time'),
    (r"expected a single document.*", "a second document begins; a recipe is one"),
)


class NotYamlError(Exception):
    """A text is not the YAML that recipes are written in.

    Attributes:
        line: From 1; 0 where the text as a whole is meant.
        column: From 1; 0 where the text as a whole is meant.
    """

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def compose(text: str, most: int = MOST_CHARACTERS) -> yaml.Node | None:
    """The nodes of a text, or None of one without content.

    Args:
        text: Decoded with "surrogateescape" where it comes from a file, so that bytes that are not UTF-8 have a place.
        most: Characters that it may have.

    Raises:
        NotYamlError: It is too long, too deep, not YAML, or has aliases or tags.
    """
    if len(text) > most:
        raise NotYamlError(0, 0, f"more than {most} characters; a recipe is a page of options, data belongs in other files")
    loader = None
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        raise _unreadable(text, error.position) from error
    except yaml.MarkedYAMLError as error:
        raise _worded(error) from error
    except (ValueError, OverflowError) as error:  # of chr(), for an escape such as "\U00110000"
        line, column = (loader.line, loader.column) if loader else (0, 0)
        raise NotYamlError(line + 1, column + 1, "this escape names no character; the last is U+10FFFF") from error
    finally:
        if loader is not None:
            loader.dispose()
    return node


class _Loader(yaml.SafeLoader):
    """Resolves scalars as YAML 1.2 does, and refuses what makes a text mean other than it says."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML wants a class attribute
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it bare
        if isinstance(event, yaml.AliasEvent):
            raise _at(event.start_mark, f'alias "*{event.anchor}" is not allowed; {INSTEAD}')
        if event.tag is not None:
            raise _at(event.start_mark, f'tag "{event.tag}" is not allowed; recipes are plain YAML without tags')
        if self._depth == MOST_DEPTH:
            raise _at(event.start_mark, f"nested deeper than {MOST_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)


def _at(mark: Any, message: str) -> NotYamlError:
    """An error at one of PyYAML's marks, which it may leave out."""
    return NotYamlError(mark.line + 1, mark.column + 1, message) if mark is not None else NotYamlError(0, 0, message)


def _unreadable(text: str, position: int) -> NotYamlError:
    before, code = text[:position], ord(text[position])
    if code in _UNDECODED:
        message = f"byte 0x{code - 0xDC00:02x} is not text in UTF-8; save the file in that encoding"
    else:
        message = f"character U+{code:04X} is not allowed in YAML"
    return NotYamlError(before.count("\n") + 1, position - before.rfind("\n"), message)


def _worded(error: yaml.MarkedYAMLError) -> NotYamlError:
    said = ", ".join(filter(None, (error.context, error.problem)))
    words = next((found.expand(text) for pattern, text in _IN_OTHER_WORDS if (found := _match(pattern, error, said))), said)
    mark = error.context_mark if words in (_UNCLOSED, _NO_COLON) else error.problem_mark
    return _at(mark, f"not YAML: {words}")


def _match(pattern: str, error: yaml.MarkedYAMLError, said: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, said) or re.fullmatch(pattern, error.problem or "")
