"""Entries that messages tell people to write are read as they were meant, by `tracker` and by DVC."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tracker.config import Config, parse_config, read_yaml
from tracker.config.written import listed, quoted, scalar
from tracker.datasets.prepare import inspect_data
from tracker.errors import DataError

CODE = Path(__file__).parents[1] / "tracker"
SECTIONS = "|".join(field.alias or name for name, field in Config.model_fields.items())
FLOW = r"\[[^\[\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\}"  # a list, or entries, one of them with entries of its own
LITERAL = re.compile(rf"(?<![\w.-])((?:{SECTIONS})(?:\.\w+)*): ({FLOW}|true|false|null|\"[^\"]*\")")
SAID = re.compile(rf"\b(?:say|set|write|and) ((?:{SECTIONS})(?:\.\w+)+): (\w+)\b(?!\.\w)")
NAMES = ["x y", "true", "null", "~", "123", "1e-3", "0x1f", "2024-01-01", "a: b", "a, b", "a]b", "it's", 'say "x"', "#n",
         "a #b", "*a", "&a", "@a", "!t", "%", "$ {a}", "?", "-", "a\\b", "größe", "yes"]  # fmt: skip


def messages() -> Iterator[tuple[str, str]]:
    """Place and text of every literal text in the code but docstrings; the holes of an f-string are the character \\0."""
    for path in sorted(CODE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values)
                yield f"{path.relative_to(CODE)}:{node.lineno}", text
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield f"{path.relative_to(CODE)}:{node.lineno}", node.value


NEEDED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {  # what the same message asks for, or is there already
    "split.method": lambda split: {**split, "group": "person"},
    "model.transfer.head": lambda model: {"transfer": {"from": "parent.safetensors", **model["transfer"]}},
}
CELLS: dict[str, Callable[[int], str]] = {
    "copy of the target": lambda n: "uv"[n % 2],
    "per cent": lambda n: f"{n % 9}.5%",
    "a word among numbers": lambda n: f"{n}.25" if n % 9 else "unk",
    "gaps among numbers": lambda n: f"{n % 7}" if n % 5 else "?",
}


def nested(entry: str, value: Any) -> dict[str, Any]:
    """`transfer.head` and its value as params.yaml has them: an entry inside another."""
    first, _, inner = entry.partition(".")
    return {first: nested(inner, value) if inner else value}


def project(**entries: Any) -> Config:
    """A configuration with a study, and these entries."""
    study = {"sampler": "random", "trials": 2, "search_space": {"units": [8, 16]}}
    return parse_config({"seed": 1, "studies": {"one": study}, **entries}, "params.yaml")


def test_entries_in_messages_are_accepted_and_dvc_reads_the_same() -> None:
    """Every entry with its value that a text in the code holds: `tracker` takes it, DVC's reader has the same value."""
    from dvc.parsing.context import Context
    from dvc.utils.serialize import parse_yaml

    texts = [text for _, text in messages()]
    found = {pair for text in texts for kind in (LITERAL, SAID) for pair in kind.findall(text) if "\0" not in pair[1]}
    assert ("split", "{promotion: 0.3}") in found
    assert 12 < len(found)
    for entry, value in found:
        read = read_yaml(value.encode(), "message")
        assert {"it": read} == parse_yaml(f"it: {value}", "params.yaml")
        Context({"it": read})
        first, _, inner = entry.partition(".")
        project(**{first: NEEDED.get(entry, dict)(nested(inner, read)) if inner else read})


def test_names_in_messages_are_written_as_yaml_writes_them() -> None:
    """No text puts a name into a list of params.yaml or dvc.yaml as it is: `listed` writes the brackets too."""
    bare = [place for place, text in messages() if re.search(r"\b(drop|categorical|numbers|deps|gaps): \[\0", text)]
    assert [] == bare


@pytest.mark.parametrize("text", [*NAMES, "tea\u200b", "a\nb", "a\u2028b", "\x7f", "\U0001f642"])
def test_texts_come_back_from_yaml_as_they_were(text: str) -> None:
    """As a value, in a list and as a name, plain or in quotation marks, and by DVC's reader too."""
    from dvc.utils.serialize import parse_yaml

    whole = f"one: {scalar(text)}\ntwo: {listed([text, 'x'])}\nthree: {{{scalar(text)}: {quoted(text)}}}"
    meant = {"one": text, "two": [text, "x"], "three": {text: text}}
    assert (meant, meant) == (read_yaml(whole.encode(), ""), parse_yaml(whole, ""))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("name", NAMES)
def test_the_advice_on_a_column_helps_whatever_its_name_is(tmp_path: Path, name: str, kind: str) -> None:
    """A table is refused with an entry that would mend it; with that entry, as the message writes it, it is read."""
    rows = [{"f": n * 37 % 61 / 7, "y": "pq"[n % 2], name: CELLS[kind](n)} for n in range(60)]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    about = {"source": "t.csv", "target": "y", "header": "first"}

    def look(**entries: Any) -> None:
        config = project(data={**about, **entries})
        inspect_data(config.data, config.preprocessing, tmp_path)

    with pytest.raises(DataError) as refused:
        look()
    advice = re.findall(r"data\.(\w+: .*?)(?=, or |; if | if they are| if it means|$)", str(refused.value))
    assert advice
    for entry in advice:
        look(**read_yaml(entry.encode(), "message"))
