"""`--set stage.option=value`: single values put over a recipe before it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gazecut.recipe.problems import Place, Problems
from gazecut.recipe.sources import as_block, component_name, merge, merge_block
from gazecut.recipe.stages import KEYS, LISTS
from gazecut.recipe.syntax import MOST_DEPTH
from gazecut.recipe.tree import Entry, Node, Scalar, parse, plant
from gazecut.suggest import did_you_mean
from gazecut.wording import shown

COMMAND_LINE = "--set"
PYTHON = "overrides"
SETTABLE = tuple(key for key in KEYS if key not in ("version", "extends"))


def override(tree: Node, overrides: Mapping[str, object] | Sequence[str], problems: Problems) -> Node:
    """A recipe's tree with overrides put over it, one after the other.

    Args:
        tree: The recipe, a mapping.
        overrides: Values by path, or texts "path=value" (or one) whose value is YAML.
        problems: Where to put what is wrong with them.
    """
    for path, value in _assignments(overrides, problems):
        tree = _put(tree, path, value, problems)
    return tree


def options_block(kind: str, overrides: Sequence[str], problems: Problems) -> Node:
    """Texts "kind.option=value" as a block of options; for components that stand in no recipe.

    Args:
        kind: What every path starts with.
        overrides: The texts.
        problems: Where to put what is wrong with them.
    """
    block = Node({}, Place(COMMAND_LINE))
    for path, value in _assignments(overrides, problems):
        _, *rest = path.split(".")
        if not rest:
            problems.add(value.place, path, f'wanted "{kind}.option=value"')
        elif not _too_deep(rest, f"{kind}.option", path, value.place, problems):
            block = merge_block(block, _nested(rest, value))
    return block


def _assignments(overrides: Mapping[str, object] | Sequence[str], problems: Problems) -> list[tuple[str, Node]]:
    if isinstance(overrides, Mapping):
        pairs: list[tuple[str, object]] = [(str(path), value) for path, value in overrides.items()]
        return [(path, node) for path, value in pairs if (node := _planted(path, value, problems)) is not None]
    found = []
    for text in [overrides] if isinstance(overrides, str) else overrides:
        path, equals, value = text.partition("=")
        if not equals or not all(path.strip().split(".")):
            problems.add(Place(COMMAND_LINE), text, 'wanted "stage.option=value", for example selector.threshold=0.7')
        elif (node := _parsed(path.strip(), value, problems)) is not None:
            found.append((path.strip(), node))
    return found


def _planted(path: str, value: object, problems: Problems) -> Node | None:
    local = Problems(PYTHON)
    node = plant(value, Place(PYTHON), local)
    return None if _passed_on(local, Place(PYTHON), path, problems) else node


def _parsed(path: str, text: str, problems: Problems) -> Node | None:
    """The value as YAML, with the command line as its place; None with a problem noted."""
    local = Problems(COMMAND_LINE)
    node = parse(text, COMMAND_LINE, local)
    if _passed_on(local, Place(COMMAND_LINE), path, problems):
        return None
    return _moved(node, Place(COMMAND_LINE)) if node is not None else Node(None, Place(COMMAND_LINE))


def _passed_on(local: Problems, place: Place, path: str, problems: Problems) -> bool:
    """Whether there were problems with one value; they are told under the path that it was given."""
    for item in local.items:
        problems.add(place, ".".join(filter(None, (path, item.path))), item.message)
    return bool(local.items)


def _moved(node: Node, place: Place) -> Node:
    if isinstance(node.value, dict):
        return Node({key: Entry(place, _moved(entry.node, place)) for key, entry in node.value.items()}, place)
    value: Scalar | list[Node] = [_moved(item, place) for item in node.value] if isinstance(node.value, list) else node.value
    return Node(value, place)


def _put(tree: Node, path: str, value: Node, problems: Problems) -> Node:
    stage, *rest = path.split(".")
    if _too_deep(rest, "stage.option", path, value.place, problems):
        return tree
    if stage not in SETTABLE:
        what = "cannot be set" if stage in KEYS else f'no stage is called "{shown(stage)}"'
        guess = _guess(tree, path) or ("" if stage in KEYS else did_you_mean(shown(stage), SETTABLE))
        problems.add(value.place, path, f"{what}; there are: {', '.join(SETTABLE)}{guess}")
        return tree
    if stage in LISTS and rest:
        return _put_in_list(tree, path, value, problems)
    return merge(tree, Node({stage: Entry(value.place, _nested(rest, value))}, tree.place))


def _too_deep(options: Sequence[str], wanted: str, path: str, place: Place, problems: Problems) -> bool:
    if len(options) > MOST_DEPTH:
        problems.add(place, path, f"a path of more than {MOST_DEPTH} options; wanted {wanted}")
    return len(options) > MOST_DEPTH


def _put_in_list(tree: Node, path: str, value: Node, problems: Problems) -> Node:
    """One option of one entry, `fusion.contrastive.sigma`; component names may have dots themselves."""
    stage, _, rest = path.partition(".")
    entry = tree.value.get(stage) if isinstance(tree.value, dict) else None
    items = entry.node.value if entry is not None and isinstance(entry.node.value, list) else []
    names = [component_name(item) or "" for item in items]
    name = max((name for name in names if f"{rest}.".startswith(f"{name}.")), key=len, default=rest.split(".")[0])
    option = rest[len(name) + 1 :]
    if names.count(name) != 1:
        listed = f"its entries: {', '.join(map(shown, names)) or 'none'}"
        if name in names:
            message = f'{stage} has "{shown(name)}" {names.count(name)} times; {listed}; wanted the list whole, "{stage}=[...]"'
        else:
            guess = did_you_mean(shown(name), names) if names else f'; wanted the list whole, "{stage}=[...]"'
            message = f'{stage} has no entry "{shown(name)}"; {listed}{guess}'
        problems.add(value.place, path, message)
        return tree
    if not option:
        problems.add(value.place, path, f'found an entry without an option; wanted "{stage}.{shown(name)}.option=value", or the list whole')
        return tree
    at = names.index(name)
    changed = [*items[:at], merge_block(as_block(items[at]), _nested(option.split("."), value)), *items[at + 1 :]]
    return merge(tree, Node({stage: Entry(value.place, Node(changed, value.place))}, tree.place))


def _guess(tree: Node, path: str) -> str:
    """The stage of an option that was given without one, where the recipe sets it in a single stage."""
    option = path.split(".")[0]
    blocks = tree.value.items() if isinstance(tree.value, dict) else []
    stages = [stage for stage, entry in blocks if isinstance(entry.node.value, dict) and option in entry.node.value]
    return f'; did you mean "{stages[0]}.{shown(path)}"?' if len(stages) == 1 else ""


def _nested(keys: Sequence[str], value: Node) -> Node:
    for key in reversed(keys):
        value = Node({key: Entry(value.place, value)}, value.place)
    return value
