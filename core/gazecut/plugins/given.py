"""Plugins that are named and not installed: modules, and files on their own."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from gazecut.errors import PluginError
from gazecut.inventory import Origin
from gazecut.plugins.source import Source, failing
from gazecut.suggest import did_you_mean

_SUFFIX = ".py"


def given_source(plugin: ModuleType | str | Path, asked: bool = True) -> Source:
    """A plugin by module, dotted name or path of a .py file.

    Args:
        plugin: Text with a separator of paths, or that ends with ".py", is a path.
        asked: Whether the call named it, and no setting.

    Raises:
        PluginError: It is nothing of the kind.
    """
    if isinstance(plugin, ModuleType):
        name = plugin.__name__
        return Source(Origin.of_module(name, name if asked else ""), lambda: _importable(plugin))
    given = str(plugin) if asked else ""
    if isinstance(plugin, Path) or (isinstance(plugin, str) and is_path(plugin)):
        return _file_source(Path(plugin), Origin(Path(plugin).name, given=given))
    if isinstance(plugin, str):
        return _module_source(plugin, Origin.of_module(plugin, given))
    raise PluginError(f"a plugin is given as a module, its dotted name or the path of a .py file; found {type(plugin).__name__}")


def is_path(text: str) -> bool:
    """Whether a text names a file and not a module."""
    return text.endswith(_SUFFIX) or Path(text).name != text


def load_file(path: Path) -> ModuleType:
    """The module of a file, under a name of its own that shadows nothing.

    The name is made from the path and the content: an unchanged file is the same module every time, so that its classes stay the same,
    and an edited one is another, so that whoever still uses the old one is not disturbed.

    Raises:
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(bytes(path.resolve()) + b"\0" + content).hexdigest()[:12]
    name = f"{_identifier(path)}_file_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path, loader=_ContentLoader(name, path, content))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def place_of(module: str) -> str:
    """Where another process finds an imported module: its name, or the file of one that `load_file` made."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return str(spec.loader.path) if spec is not None and isinstance(spec.loader, _ContentLoader) else module


class _ContentLoader(SourceFileLoader):
    """Runs content that was read before; Python's bytecode cache would miss an edit within the same second."""

    def __init__(self, name: str, path: Path, content: bytes) -> None:
        super().__init__(name, str(path))
        self._content = content

    def get_code(self, fullname: str) -> CodeType:
        """The content, compiled."""
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


def _file_source(path: Path, origin: Origin) -> Source:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        beside = [each.name for each in path.parent.glob(f"*{_SUFFIX}")]
        return failing(origin, f"there is no file {path}{did_you_mean(path.name, beside)}")
    except OSError as error:
        return failing(origin, f"the system refuses the path ({error.strerror}): {path}", error)
    if path.is_file() and path.suffix == _SUFFIX:
        return Source(origin, lambda: load_file(path), alias=_identifier(path))
    if path.is_dir():
        return failing(origin, f"{path} is a folder; a package is given by the dotted name of its module")
    return failing(origin, f"{path} is no {_SUFFIX} file")


def _module_source(name: str, origin: Origin) -> Source:
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        return failing(origin, f'"{name}" is no name of a module; wanted "package.module" or the path of a {_SUFFIX} file')
    return Source(origin, lambda: importlib.import_module(name))


def _importable(module: ModuleType) -> ModuleType:
    if sys.modules.get(module.__name__) is not module:
        text = f"`import {module.__name__}` gives another module or none, so its components cannot be found; give the path of its file"
        raise PluginError(text)
    return module


def _identifier(path: Path) -> str:
    return re.sub(r"\W", "_", path.stem)
