"""What the rows on disk were made with, beside what params.yaml and the table say now: old rows are not used in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import digest_file, parse_canonical
from tracker.config import Config, Data, Split
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import TrainingData, load_training_data
from tracker.errors import DataError
from tracker.paths import Paths
from tracker.remedies import has_dvc, run_again, stage_command
from tracker.trees import differences

MADE_WITH = "made_with"
FILE = "file"
IMAGES = "images"  # of a file: the digest of the images that it names
ROWS = "content"  # of the prepared rows, in any order
SPLIT_OF = "prepared.json"  # lies with the test rows, of which its digest tells; no row key and no count stands in it
MOST = 5  # differences that a message names


def data_settings(data: Data) -> dict[str, Any]:
    """The entries of `data` that are not the usual ones; an absolute path is left out, for it is another on every machine."""
    absolute = {"source"} if Path(data.source).is_absolute() else set()
    return {"data": data.model_dump(mode="json", exclude_defaults=True, exclude=absolute)}


def split_settings(split: Split, seed: int | None) -> dict[str, Any]:
    """The entries of `split` that are not the usual ones, and the seed where rows are drawn by one."""
    drawn = {} if seed is None else {"seed": seed}
    return {"split": split.model_dump(mode="json", exclude_defaults=True), **drawn}


def without_settings(content: bytes) -> dict[str, Any]:
    """What a manifest says of rows, whatever they were made with: another path of the table gives the same rows."""
    told: dict[str, Any] = dict(parse_canonical(content))
    return {name: value for name, value in told.items() if name not in {MADE_WITH, "digest"}}


def changed_settings(config: Config, paths: Paths) -> list[tuple[str, Any, Any]]:
    """Entries that differ between what wrote data/splits and `config`: name, then, now (None: not there, so the usual value).

    Empty where there is no split, or one of a release that wrote no settings. Another name of the same file is no change.
    """
    made = _manifest(paths).get(MADE_WITH, {})
    now = {**data_settings(config.data), **split_settings(config.split, config.seed)}
    found = list(differences(made, {name: now[name] for name in made}))
    if any(name == "data.source" for name, _, _ in found) and _is_renamed(config.data, paths, made):
        return [one for one in found if one[0] != "data.source"]
    return found


def _manifest(paths: Paths) -> dict[str, Any]:
    """What `split` wrote of its rows; empty where it cannot be read: whoever reads the rows says what is wrong with them."""
    try:
        return read_document(paths.splits / "manifest.json", "splits", "")
    except DataError:
        return {}


def outdated(config: Config, paths: Paths) -> str:
    """What differs between data/splits and what params.yaml and the table give now, and what to do; empty for nothing."""
    prepare = [*_words(changed_settings(config, paths)), *_other_table(config.data, paths)]
    found = [*prepare, *_other_rows(paths)]
    return _told(found, paths, prepare=bool(prepare)) if found else ""


def _told(found: list[str], paths: Paths, *, prepare: bool) -> str:
    first = f"{run_again(paths.root, 'prepare')}, then " if prepare and not has_dvc(paths.root) else ""
    again = stage_command(paths.root, "split") if first else run_again(paths.root, "split")
    more = [f"{len(found) - MOST} more"] if len(found) > MOST else []
    return f"made before params.yaml or the table changed: {'; '.join([*found[:MOST], *more])}; {first}{again}"


def outdated_unless_dvc(config: Config, paths: Paths) -> str:
    """As `outdated`; empty with DVC, which runs stages again by itself."""
    found = "" if has_dvc(paths.root) else outdated(config, paths)
    return found and f"{paths.splits}: {found}"


def changed_table(paths: Paths) -> str:
    """As `outdated_unless_dvc`, of the table alone, whatever params.yaml says now."""
    made = _prepared(paths).get(MADE_WITH, {}).get("data", {})
    table = [] if "source" not in made else list(_other_table(Data.model_construct(**made), paths))
    found = [*table, *_other_rows(paths)]
    return "" if not found or has_dvc(paths.root) else f"{paths.splits}: {_told(found, paths, prepare=bool(table))}"


def refuse_outdated(config: Config, paths: Paths) -> None:
    """Raises DataError, with what differs and what to do, where data/splits is not what params.yaml and the table give."""
    if found := outdated(config, paths):
        raise DataError(f"{paths.splits}: {found}")


def unrecorded(paths: Paths) -> str:
    """A line where it is not known what data/splits was made with; empty with DVC, which runs stages again by itself."""
    manifest = {} if has_dvc(paths.root) else _manifest(paths)
    if not manifest or "data" in manifest.get(MADE_WITH, {}):
        return ""
    again = f"{run_again(paths.root, 'prepare')}, then {stage_command(paths.root, 'split')}, to record them"
    return f"{paths.splits}: made by a release that recorded no settings, so changed ones would go unseen; {again}"


def _words(changed: list[tuple[str, Any, Any]]) -> Iterator[str]:
    for name, then, now in changed:
        yield f"{name} was {_value(then)}, is {_value(now)} now"


def _value(value: Any) -> str:
    return "not set" if value is None else str(value)


def _other_table(data: Data, paths: Paths) -> Iterator[str]:
    """Says so where the file of the table is here, and is not the one that `prepare` read; so for its images."""
    file = _prepared(paths).get(FILE)
    if file and (now := table_file(data, paths.root, paths_of_images=IMAGES in file)) and now != file:
        is_same = now.get("sha256") == file.get("sha256")
        told = "has other images than those that were" if is_same else "is another file than the one that was"
        yield f"{data.source} {told} prepared"


def _other_rows(paths: Paths) -> Iterator[str]:
    """Says so where prepared rows and what `split` kept of its own are here, and differ."""
    split, now = _split_of(paths), _prepared(paths).get(ROWS)
    if split and now and split != now:
        yield "the prepared table has other rows than were split"


def _is_renamed(data: Data, paths: Paths, made: Mapping[str, Any]) -> bool:
    """Whether the table of `data` is the very file, under another name, whose rows were split."""
    prepared = _prepared(paths)
    same_rows = prepared.get(ROWS) is not None and prepared[ROWS] == _split_of(paths)
    same_name = prepared.get(MADE_WITH, {}).get("data", {}).get("source") == made["data"].get("source")
    return bool(prepared.get(FILE)) and prepared[FILE] == table_file(data, paths.root) and (same_rows or same_name)


def _prepared(paths: Paths) -> dict[str, Any]:
    """What `prepare` wrote of its table; empty where it cannot be read."""
    try:
        return read_document(paths.prepared / "schema.json", "prepared", "")
    except DataError:
        return {}


def _split_of(paths: Paths) -> Any:
    """The digest of the prepared rows that were split; None where it is not here."""
    try:
        return read_document(paths.sealed / SPLIT_OF, "split of", "").get(ROWS)
    except DataError:
        return None


def table_file(data: Data, root: Path, *, paths_of_images: bool = True) -> Mapping[str, str]:
    """What tells the file of a table from another one: its digest, and one of the images in a folder or behind paths.

    Nothing for a bundled table or no file. To find `paths_of_images` the table is read: no need where the same table is known
    to hold none.
    """
    path = root / data.source
    images = _images_digest(data, root, paths_of_images)
    found = {"sha256": digest_file(path)} if path.is_file() else {}
    return found | ({IMAGES: images} if images else {})


def _images_digest(data: Data, root: Path, behind_paths: bool) -> str | None:
    """None where there are no files of images, or some that cannot be read."""
    path = root / data.source
    try:
        if path.is_dir() and not path.is_symlink():
            from tracker.datasets.load_folder import folder_digest

            return folder_digest(path)
        if data.images is None or not behind_paths:
            return None
        from tracker.datasets.load import read_table  # heavy, and most tables have no images
        from tracker.datasets.load_images import files_digest
        from tracker.datasets.writing import Writing

        return files_digest(read_table(data.source, root, (), Writing.of(data)), data, path.parent)
    except DataError:  # whoever reads the rows says what is wrong with them
        return None


def load_present(config: Config, paths: Paths) -> TrainingData:
    """The arrays of train and validation, where they are what params.yaml and the table give now. Raises DataError."""
    refuse_outdated(config, paths)
    return load_training_data(paths.splits, config.preprocessing)
