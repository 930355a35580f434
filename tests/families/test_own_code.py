"""The user's code: which files a key covers, that exactly these run, and what is said where they cannot."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from tracker.errors import ConfigError
from tracker.families.loop import LoopFamily
from tracker.families.own_code import OwnCode, code_from, load, read_code, require_generator

FIT = "def fit(hyperparameters, train, validation, seed):\n    yield {}\n"
ARGUMENTS = ("hyperparameters", "train", "validation", "seed")


def write(root: Path, **modules: str) -> Path:
    """Files by their dotted name, `a__b` for a/b.py."""
    for name, content in modules.items():
        path = root / f"{name.replace('__', '/', 1)}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return root


def sha(root: Path, name: str) -> str:
    return hashlib.sha256((root / name).read_bytes()).hexdigest()


def value(code: OwnCode) -> object:
    """What the function of a test's module returns."""
    function = load(code)
    with code.importable():
        return function()


def test_identity_is_the_entry_and_the_bytes_of_its_file(tmp_path: Path) -> None:
    """One changed byte is another identity; installed packages and the standard library are not in it."""
    write(tmp_path, loop=f"import json\nimport torch\n{FIT}", other="unused = 1\n")
    assert {"entry": "loop:fit", "loop.py": sha(tmp_path, "loop.py")} == read_code(tmp_path, "loop:fit").identity
    before = read_code(tmp_path, "loop:fit").identity
    write(tmp_path, loop=f"import json\nimport torch\n{FIT}#")
    assert before != read_code(tmp_path, "loop:fit").identity


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("import helpers", {"helpers.py"}),
        ("import helpers as h, json", {"helpers.py"}),
        ("from helpers import anything", {"helpers.py"}),
        ("from helpers import *", {"helpers.py"}),
        ("import nets.small", {"nets/__init__.py", "nets/small.py", "nets/parts.py"}),
        ("from nets import small", {"nets/__init__.py", "nets/small.py", "nets/parts.py"}),
        ("from nets.small import make", {"nets/__init__.py", "nets/small.py", "nets/parts.py"}),
        ("from nets import make", {"nets/__init__.py"}),
        ("def late():\n    import helpers", {"helpers.py"}),
        ("try:\n    import absent\nexcept ImportError:\n    absent = None", set()),
    ],
)
def test_local_modules_are_followed_from_import_to_import(tmp_path: Path, statement: str, names: set[str]) -> None:
    """Whatever form the import has and wherever it stands, the file it names is part of the identity."""
    write(tmp_path, loop=f"{statement}\n{FIT}", helpers="import loop\n", nets____init__="make = 1\n")
    write(tmp_path, nets__small="from .parts import part\nmake = part\n", nets__parts="from . import make as part\n")
    identity = read_code(tmp_path, "loop:fit").identity
    assert {"entry", "loop.py", *names} == set(identity)
    assert all(identity[name] == sha(tmp_path, name) for name in names)


def test_what_was_read_runs_whatever_lies_on_the_disk_by_now(tmp_path: Path) -> None:
    """Code runs from the bytes that were digested: later edits and compiled files of the same time and size do not count."""
    write(tmp_path, loop="from helpers import number\ndef fit():\n    return number\n", helpers="number = 1\n")
    times = (tmp_path / "helpers.py").stat()
    assert 1 == value(read_code(tmp_path, "loop:fit"))
    code = read_code(tmp_path, "loop:fit")
    write(tmp_path, helpers="number = 2\n")
    os.utime(tmp_path / "helpers.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (1, 2) == (value(code), value(read_code(tmp_path, "loop:fit")))
    assert not list(tmp_path.rglob("*.pyc"))


def test_recorded_texts_run_without_files(tmp_path: Path) -> None:
    """From the texts alone comes the same identity and the same function."""
    write(tmp_path, loop="from nets.small import number\ndef fit():\n    return number\n", nets____init__="")
    code = read_code(write(tmp_path, nets__small="number = 3\n"), "loop:fit")
    again = code_from("loop:fit", code.texts)
    assert code.identity == again.identity
    assert 3 == value(again)


def test_modules_of_two_projects_do_not_meet(tmp_path: Path) -> None:
    """Two projects with modules of one name run side by side, and neither stays behind in this process."""
    codes = []
    for number in (1, 2):
        root = tmp_path / str(number)
        root.mkdir()
        write(root, loop="import helpers\ndef fit():\n    import helpers as late\n    return helpers.n, late.n\n")
        codes.append(read_code(write(root, helpers=f"n = {number}\n"), "loop:fit"))
    functions = [load(code) for code in codes]
    found = []
    for code, function in zip(codes, functions, strict=True):
        with code.importable():
            found.append(function())
    assert [(1, 1), (2, 2)] == found
    assert not {"loop", "helpers"} & set(sys.modules)


def test_a_module_that_the_process_knows_stays_as_it_was(tmp_path: Path) -> None:
    """A module of the same name that was imported before is there again afterwards."""
    import tests.families as known

    write(tmp_path, tests____init__="", loop="from tests.families import n\ndef fit():\n    return n\n")
    (tmp_path / "tests" / "families.py").write_text("n = 5\n")
    assert 5 == value(read_code(tmp_path, "loop:fit"))
    assert sys.modules["tests.families"] is known


def test_a_local_file_that_the_key_does_not_cover_cannot_be_imported(tmp_path: Path) -> None:
    """Imports that no statement names would change numbers without changing the key."""
    write(tmp_path, hidden="n = 1\n")
    write(tmp_path, loop="import importlib\ndef fit():\n    return importlib.import_module('hidden')\n")
    code = read_code(tmp_path, "loop:fit")
    with pytest.raises(ImportError, match=r"hidden\.py is not part of the trial's key: write `import hidden`"):
        value(code)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def fat():\n    yield\n", "model.entry: loop.py has no function fit"),
        ("fit = 3\n", "model.entry: loop.py has no function fit"),
        ("import no_such_package\n", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0\n", "model.entry: loop.py cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "cannot be imported: SystemExit: 3"),
        ("def fit(:\n", "model.entry: loop.py is not Python in UTF-8: "),
        ("n = '\x00'\n", "model.entry: loop.py is not Python in UTF-8: "),
        ("def fit(a, b, c, d):\n    return 1\n", "loop:fit must be a generator, fit(hyperparameters, train, valid"),
        ("def fit(a, b, c):\n    yield 1\n", "loop:fit must take four arguments, fit(hyperparameters, train, valid"),
        ("class fit:\n    pass\n", "loop:fit must be a generator"),
    ],
)
def test_faults_of_the_code_are_named(tmp_path: Path, content: str, message: str) -> None:
    """Whatever is wrong with the code is a ConfigError that says what and where."""
    write(tmp_path, loop=content)
    with pytest.raises(ConfigError) as caught:
        LoopFamily().require(load(read_code(tmp_path, "loop:fit")), "loop:fit")
    assert message in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused: it could not be recorded."""
    (tmp_path / "loop.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe4\n")
    with pytest.raises(ConfigError, match=r"loop\.py is not Python in UTF-8"):
        read_code(tmp_path, "loop:fit")


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path) -> None:
    """An entry that is not there is refused, and so is a link that leads out of the folder."""
    root = tmp_path / "project"
    root.mkdir()
    write(tmp_path, outside=FIT)
    for entry in ("outside:fit", "project.outside:fit", "os:fit", "tracker.cli:fit"):
        with pytest.raises(ConfigError, match=r"beside params\.yaml"):
            read_code(root, entry)
    (root / "loop.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(ConfigError, match="leads out of the project's folder"):
        read_code(root, "loop:fit")


def test_wrapped_generators_are_generators(tmp_path: Path) -> None:
    """A decorator that keeps the function's signature does no harm."""
    text = "import functools\n\ndef plain(f):\n    @functools.wraps(f)\n    def g(*a):\n        return f(*a)\n    return g\n"
    write(tmp_path, loop=f"{text}\n@plain\n{FIT}")
    require_generator(load(read_code(tmp_path, "loop:fit")), "loop:fit", ARGUMENTS)
