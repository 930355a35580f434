"""Code of the user's own behind `entry: loop:fit`: its file and those it imports beside it, read once, digested, loaded.

What runs is what was digested: modules are made from the bytes that were read, never from a cache of compiled code, and
a local module that the digest does not cover cannot be imported.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

RESERVED = sys.stdlib_module_names | {"tracker"}  # never taken from the project's folder

Read = Callable[[str], bytes | None]


class CodeError(ValueError):
    """The user's own code is not there, cannot be imported, or is not what was recorded."""


@dataclass(frozen=True, slots=True)
class Source:
    """A module of the project's folder: its place there, such as `nets/small.py`, and its bytes."""

    place: str
    content: bytes
    package: bool


@dataclass(frozen=True)
class OwnCode:
    """The user's code behind one entry: modules by name, all of them read."""

    root: Path
    entry: str
    sources: Mapping[str, Source]
    read: Read
    modules: dict[str, ModuleType] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """Each file by its place in the project's folder."""
        return {source.place: source.content.decode() for _, source in sorted(self.sources.items())}

    @property
    def identity(self) -> dict[str, str]:
        """What goes into keys: the entry, and the SHA-256 of each file."""
        files = {source.place: hashlib.sha256(source.content).hexdigest() for source in self.sources.values()}
        return {"entry": self.entry, **files}

    def load(self) -> Callable[..., Any]:
        """The function that the entry names. Raises CodeError where it cannot be imported or is not there."""
        name, _, function = self.entry.partition(":")
        try:
            with self.importable():
                module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise CodeError(f"model.entry: {self.sources[name].place} cannot be imported: {describe(error)}") from error
        found = getattr(module, function, None)
        if not callable(found):
            raise CodeError(f"model.entry: {self.sources[name].place} has no function {function}")
        loaded: Callable[..., Any] = found
        return loaded

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Inside, the modules of this code, and no others of the project's folder, answer to their names."""
        finder = _Finder(self)
        hidden = {name: sys.modules.pop(name) for name in self.sources if name in sys.modules}
        sys.modules.update(self.modules)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            self.modules.update({name: sys.modules.pop(name) for name in self.sources if name in sys.modules})
            sys.modules.update(hidden)


def read_code(root: Path, entry: str) -> OwnCode:
    """Reads the entry's module and, from import to import, those of the project's folder. Raises CodeError."""
    root = root.resolve()

    def read(name: str) -> bytes | None:
        path = root / name
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(root):
            raise CodeError(f"model.entry: {name} leads out of the project's folder; copy it there")
        return path.read_bytes()

    return _collect(root, entry, read)


def code_from(entry: str, texts: Mapping[str, str]) -> OwnCode:
    """The code whose `texts` were recorded. Raises CodeError."""
    return _collect(Path("recorded"), entry, lambda name: texts[name].encode() if name in texts else None)


def _collect(root: Path, entry: str, read: Read) -> OwnCode:
    name = entry.partition(":")[0]
    sources: dict[str, Source] = {}
    waiting = [name]
    while waiting:
        for module in _chain(waiting.pop()):
            source = sources.get(module) or _find(read, module)
            if source is None:
                break
            if module not in sources:
                sources[module] = source
                waiting += _imports(module, source)
    if name not in sources:
        place = f"{name.replace('.', '/')}.py"
        raise CodeError(f"model.entry: there is no {place} beside params.yaml, which {entry} names")
    return OwnCode(root, entry, sources, read)


def describe(error: BaseException) -> str:
    """Kind and text of an error, and where in the user's code it arose."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Finds and makes modules out of the sources of one OwnCode."""

    def __init__(self, code: OwnCode) -> None:
        self._code = code

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        source = self._code.sources.get(fullname)
        if source is None:
            self._refuse_unread(fullname)
            return None
        file = self._code.root / source.place
        within = [str(file.parent)] if source.package else None
        return importlib.util.spec_from_file_location(fullname, file, loader=self, submodule_search_locations=within)

    def get_filename(self, fullname: str) -> str:
        return str(self._code.root / self._code.sources[fullname].place)

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._code.sources[fullname].content)

    def is_package(self, fullname: str) -> bool:
        return self._code.sources[fullname].package

    def _refuse_unread(self, name: str) -> None:
        source = _find(self._code.read, name)
        if source is not None:
            raise ImportError(
                f"{source.place} is not part of the trial's key: write `import {name}` as a statement, and give each of its "
                "folders an __init__.py"
            )


def _chain(name: str) -> list[str]:
    """A module's name with those of its packages, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _find(read: Read, name: str) -> Source | None:
    """The module of that name in the project's folder; None where there is none."""
    if name.partition(".")[0] in RESERVED:
        return None
    stem = name.replace(".", "/")
    for place, package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
        content = read(place)
        if content is not None:
            return Source(place, content, package)
    return None


def _imports(name: str, source: Source) -> Iterator[str]:
    """Every name that an import statement of a module may mean, wherever in the file it stands."""
    try:
        tree = ast.parse(source.content.decode(), source.place)
    except (SyntaxError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise CodeError(f"model.entry: {source.place} is not Python in UTF-8: {error}") from None
    package = name if source.package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(package, node.level, node.module)
            yield from (".".join(filter(None, (base, alias.name))) for alias in node.names if alias.name != "*")
            yield from [base] if base else []


def _absolute(package: str, level: int, module: str | None) -> str:
    """The full name behind `from ..module import`."""
    if not level:
        return module or ""
    parts = package.split(".")
    return ".".join(filter(None, (*parts[: len(parts) - level + 1], module)))
