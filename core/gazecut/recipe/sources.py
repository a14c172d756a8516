"""Where recipes come from: the built-in ones, files, mappings; and how one builds on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gazecut.errors import RecipeError
from gazecut.recipe.messages import found
from gazecut.recipe.problems import Place, Problems
from gazecut.recipe.prompting import merge_prompts
from gazecut.recipe.stages import SINGLE
from gazecut.recipe.syntax import MOST_CHARACTERS
from gazecut.recipe.tree import Entry, Node, parse, plain, plant
from gazecut.suggest import did_you_mean
from gazecut.wording import shown

SUFFIXES = (".yaml", ".yml")
MOST_ABOVE = 16
"""Longest line of recipes that extend each other."""

MOST_TITLE = 300
"""Characters of a path in a message."""

MORE = "More about each: gazecut recipes"
RECIPES = "Recipes: gazecut recipes"
_FOLDER = "recipes"


@dataclass(frozen=True)
class Source:
    """One recipe as it was written.

    Attributes:
        name: Built-in name or stem of the file.
        title: What messages call it: built-in name or path.
        text: The YAML.
        path: Its file, or None for one that is built in or given as data.
    """

    name: str
    title: str
    text: str
    path: Path | None = None

    @property
    def identity(self) -> str:
        """The same for the same recipe, however its path is written."""
        return str(self.path.resolve()) if self.path else self.title


def builtin_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with Gazecut."""
    folder = resources.files("gazecut").joinpath(_FOLDER)
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def about(name: str) -> str:
    """The `about` of a built-in recipe, in one line."""
    tree = parse(find_source(name).text, name, Problems(name))
    entry = tree.value.get("about") if tree is not None and isinstance(tree.value, dict) else None
    return " ".join(str(plain(entry.node)).split()) if entry else ""


def find_source(name: str | Path, folder: Path | None = None) -> Source:
    """A recipe by built-in name or by file.

    Args:
        name: A built-in name, or a path.
        folder: What relative paths are relative to; the working directory by default.

    Raises:
        RecipeError: Neither a built-in recipe nor a readable file has that name.
    """
    builtin = builtin_recipes()
    if str(name) in builtin:
        text = resources.files("gazecut").joinpath(_FOLDER, f"{name}.yaml").read_text(encoding="utf-8")
        return Source(str(name), str(name), text)
    path = (folder or Path()) / name
    if not str(name):
        raise RecipeError(f"{_not_there(name, path, builtin)}\n{MORE}")
    try:
        # A byte that is not UTF-8 is kept: the parser says where it stands.
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return Source(path.stem, _title(path), file.read(MOST_CHARACTERS + 1), path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError for a name with a null byte
        raise RecipeError(f"{_not_there(name, path, builtin)}\n{MORE}") from error
    except IsADirectoryError as error:
        raise RecipeError(
            f"{_title(path)} is a folder; wanted a recipe file, or one that is built in: {', '.join(builtin)}\n{MORE}"
        ) from error
    except OSError as error:
        raise RecipeError(f"the recipe file {_title(path)} cannot be read: {error.strerror}") from error


def _not_there(name: str | Path, path: Path, builtin: Sequence[str]) -> str:
    looks_like_file = path.suffix in SUFFIXES or len(Path(name).parts) > 1
    what = f"there is no recipe file {_title(path)}" if looks_like_file else f'no recipe is called "{shown(str(name))}", and no file either'
    return f"{what}; built in: {', '.join(builtin)}{did_you_mean(shown(str(name)), builtin)}"


def _title(path: Path) -> str:
    return shown(str(path), MOST_TITLE)


def read(source: Source, problems: Problems) -> Node:
    """The tree of a recipe on top of everything that it extends, without its `extends`."""
    return _extended(_tree(source, problems), source, (), problems)


def read_mapping(recipe: Mapping[str, object], title: str, problems: Problems) -> Node:
    """The same for a recipe given as data; files that it extends are relative to the working directory.

    Raises:
        RecipeError: It holds what no recipe can.
    """
    tree = plant(recipe, Place(title), problems)
    problems.raise_if_any()
    return _extended(tree, Source(title, title, ""), (), problems)


def merge(parent: Node, child: Node) -> Node:
    """A child recipe over its parent.

    A stage with another `use` replaces the parent's whole; otherwise options merge, mappings within mappings. Lists (`fusion`,
    `exporters`) replace. Of `prompts`, names replace and a block merges.
    """
    if not isinstance(parent.value, dict) or not isinstance(child.value, dict):
        return child
    entries = dict(parent.value)
    for key, entry in child.value.items():
        change = merge_prompts if key == "prompts" else _merge_components if key in SINGLE else merge_block
        entries[key] = Entry(entry.key_place, change(entries[key].node, entry.node) if key in entries else entry.node)
    return Node(entries, child.place)


def merge_block(parent: Node, child: Node) -> Node:
    """One component's block over its parent's: another `use` replaces it whole, otherwise options merge."""
    use = component_name(child)
    return child if use is not None and use != component_name(parent) else _merged(parent, child)


def _merge_components(parent: Node, child: Node) -> Node:
    """The same where either may be a bare name."""
    return merge_block(as_block(parent), as_block(child))


def _merged(parent: Node, child: Node) -> Node:
    if not isinstance(parent.value, dict) or not isinstance(child.value, dict):
        return child
    entries = dict(parent.value)
    for key, entry in child.value.items():
        entries[key] = Entry(entry.key_place, _merged(entries[key].node, entry.node) if key in entries else entry.node)
    return Node(entries, child.place)


def as_block(node: Node) -> Node:
    """A component that is a bare name, `selector: argmax`, as the block that it stands for."""
    return Node({"use": Entry(node.place, node)}, node.place) if isinstance(node.value, str) else node


def component_name(node: Node) -> str | None:
    """What a stage's block uses, or None where it does not say."""
    if isinstance(node.value, str):
        return node.value
    entry = node.value.get("use") if isinstance(node.value, dict) else None
    return entry.node.value if entry is not None and isinstance(entry.node.value, str) else None


def _extended(tree: Node, source: Source, above: tuple[Source, ...], problems: Problems) -> Node:
    if not isinstance(tree.value, dict) or "extends" not in tree.value:
        return tree
    entries = dict(tree.value)
    name = entries.pop("extends").node
    child, line = Node(entries, tree.place), (*above, source)
    parent = _parent(name, line, problems)
    if parent is None:
        problems.incomplete = True
        return child
    return merge(_extended(_tree(parent, problems), parent, line, problems), child)


def _parent(name: Node, line: tuple[Source, ...], problems: Problems) -> Source | None:
    """What the last of a line of recipes extends, or None with a problem noted."""
    path = line[-1].path
    if not isinstance(name.value, str):
        known = ", ".join(builtin_recipes())
        message = f"found {found(plain(name))}; wanted one file, relative to this one, or one built-in recipe: {known}"
        problems.add(name.place, "extends", message, RECIPES)
        return None
    try:
        parent = find_source(name.value, path.parent if path else None)
    except RecipeError as error:
        problems.add(name.place, "extends", str(error).split("\n")[0], RECIPES)
        return None
    if parent.identity in [each.identity for each in line]:
        problems.add(name.place, "extends", f"goes round in a circle: {' -> '.join(each.title for each in (*line, parent))}")
        return None
    if len(line) > MOST_ABOVE:
        problems.add(name.place, "extends", f"more than {MOST_ABOVE} recipes in a row; wanted fewer")
        return None
    return parent


def _tree(source: Source, problems: Problems) -> Node:
    before = len(problems.items)
    tree = parse(source.text, source.title, problems)
    if tree is not None and isinstance(tree.value, dict):
        return tree
    problems.incomplete = True
    if len(problems.items) == before:
        kind = "nothing" if tree is None else found(plain(tree))
        problems.add(tree.place if tree else Place(source.title, 1, 1), "", f'found {kind}; wanted "version: 1" and one block per stage')
    return Node({}, Place(source.title, 1, 1))
