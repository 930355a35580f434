"""Checks a bundle, part by part, with nothing but this package; given the data, derives its result again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tracker.bundling.archive import read_archive
from tracker.bundling.collect import FORMAT, HEAD, LABELS, MADE_UP, MODEL_FOLDER, PREDICTIONS, predicted
from tracker.canonical import digest_bytes, parse_canonical
from tracker.deriving.compare_outcomes import EQUIVALENT_WITHIN, Difference
from tracker.deriving.find_trial import Recorded, recorded_key
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_project import verify_looks
from tracker.deriving.verdict import Verdict, cannot
from tracker.errors import CodeNotTrusted, InputError, TrackerError
from tracker.evaluation.files import read_report
from tracker.evaluation.reports import check_study_report
from tracker.families.trusted_code import require_trusted
from tracker.fields import final_report, report
from tracker.fields import model as model_shape
from tracker.paths import Paths
from tracker.records import TrialSpec, record_from
from tracker.shapes import digest as digest_shape
from tracker.shapes import entries, many, named, optional, plain, text, whole
from tracker.studies.adopt import read_study
from tracker.trees import first_difference

if TYPE_CHECKING:
    import numpy as np

REMEDY = "ask for the bundle again; `tracker bundle final` writes it"
_file = entries({"bytes": whole(), "sha256": digest_shape})
HEAD_SHAPE = entries(
    {"format": whole(), "study": text, "trial": whole(), "key": digest_shape, "test_digest": text, "test_rows": whole()}
    | {"environment": text, "code": named(text), "files": named(_file)}
)


def check_bundle(path: Path, data: str | None = None, *, trust: str | None = None, root: Path) -> Iterator[Verdict]:
    """The verdicts on the parts of a bundle; with `data`, a table or its file, on what is derived from it too.

    Writes into a temporary folder alone. Code that came along runs where it is that of the folder `root`, or where `trust` is
    its digest. Raises InputError for what is no bundle.
    """
    files = read_archive(path)
    head = _head(path, files)
    found = _files(path, head, files)
    yield found
    if not found.is_sound:
        return
    with TemporaryDirectory(prefix="tracker-") as folder:
        case = _Case(Path(folder).resolve(), head, files, trust, root)
        yield from case.verdicts()
        if data is not None:
            yield from case.derive(data)


def has_labels(path: Path) -> bool:
    """Whether the labels of the test rows are in a bundle. Raises InputError."""
    return LABELS in read_archive(path)


def _head(path: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        head: dict[str, Any] = parse_canonical(files[HEAD])
        HEAD_SHAPE(head)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a bundle of ours ({HEAD}: {error}); `tracker bundle final` writes one") from None
    if head["format"] != FORMAT:
        raise InputError(f"{path}: format {head['format']}; this release reads {FORMAT}: upgrade repro-tracker")
    return head


def _files(path: Path, head: Mapping[str, Any], files: Mapping[str, bytes]) -> Verdict:
    """Whether every file is the one that the head lists, and none is missing or too many."""
    there = {name: {"bytes": len(content), "sha256": digest_bytes(content)} for name, content in files.items()}
    there.pop(HEAD)
    if there == head["files"]:
        return Verdict("bundle", "files", "identical", counted=len(files))
    name = next(name for name in sorted({*there, *head["files"]}) if there.get(name) != head["files"].get(name))
    why = "is not the file that" if name in there and name in head["files"] else "is there or missing, other than"
    return _differs("files", f"{path}: {name} {why} {HEAD} lists")


def _differs(name: str, words: str, recorded: Any = None, derived: Any = None) -> Verdict:
    return Verdict("bundle", name, "differs", Difference.told(name, words, recorded, derived), remedy=REMEDY)


class _Case:
    """A bundle laid out as a project in a temporary folder."""

    def __init__(
        self, folder: Path, head: Mapping[str, Any], files: Mapping[str, bytes], trust: str | None, root: Path
    ) -> None:
        self.paths = Paths(folder, folder)
        self.head, self.files, self.trust, self.root = head, files, trust, root
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def verdicts(self) -> Iterator[Verdict]:
        """Records, looks, scores and model; what rests on what is not sound is left out."""
        records = self._guarded("records", self._records)
        yield records
        if not records.is_sound:
            return
        looks = verify_looks(self.paths) or _differs("looks", "no look is in it, yet a result is told")
        yield looks if looks.is_sound else replace(looks, remedy=REMEDY)
        yield self._guarded("scores", self._scores)
        yield self._guarded("model", self._model)

    @staticmethod
    def _guarded(name: str, judge: Any) -> Verdict:
        try:
            found: Verdict = judge()
        except CodeNotTrusted as error:
            return cannot("bundle", name, str(error))
        except (TrackerError, ValueError, KeyError, TypeError, IndexError) as error:
            return _differs(name, str(error) or type(error).__name__)
        return found

    @property
    def final(self) -> dict[str, Any]:
        """The result that is told."""
        return read_report(self.paths.reports / "final.json", REMEDY, final_report)

    def _recorded(self) -> Recorded:
        return recorded_key(self.paths, self.head["key"], f"{self.head['study']}/{self.head['trial']}")

    def _records(self) -> Verdict:
        """Every record against its key, every report against its records, the result against the scored trial's spec."""
        folders = [*self.paths.models.glob("*/trials.jsonl"), *self.paths.confirmed.glob("*/trials.jsonl")]
        counted = sum(len(read_study(path).trials) for path in sorted(folders))
        for path in sorted(self.paths.study_reports.glob("*.json")):
            check_study_report(read_report(path, REMEDY, report), path, self.paths.models)
        spec, final = self._recorded().spec, self.final
        told: dict[str, Any] = {"environment": spec.environment, "code": dict(spec.code)}
        told |= {name: final.get(name) for name in ("study", "trial", "key", "test_digest", "test_rows")}
        leaf = first_difference({name: self.head[name] for name in told}, told)
        leaf = leaf or first_difference(
            {name: final.get(name) for name in ("key", "candidate", "params")},
            {"key": spec.key, "candidate": spec.candidate, "params": dict(spec.params)},
        )
        if leaf:
            return _differs("records", f"{leaf[0]} is {leaf[1]}, {leaf[2]} follows from the record", *leaf[1:])
        return Verdict("bundle", "records", "identical", counted=counted)

    def _scores(self) -> Verdict:
        """The scores from what travels: the confusion matrix and the predictions, and the labels where they are there."""
        from tracker.evaluation.scoring import other_scores

        final = self.final
        leaf = other_scores(final["test"])
        if leaf:
            return _differs("scores", f"{leaf[0]} is {leaf[1]}, but {leaf[2]} follows from the confusion matrix")
        found, matrix = self._predictions()["test"], final["test"]["confusion_matrix"]
        calls = self._decided(found)
        counts = [calls.count(label) for label in final["test"]["labels"]]
        told = [sum(line[place] for line in matrix) for place in range(len(counts))]
        if counts != told:
            return _differs(
                "scores", f"the confusion matrix has {told} predictions per class, the stored ones {counts}"
            )
        if LABELS in self.files and (leaf := self._other_by_labels(found, calls)):
            return _differs("scores", f"{leaf[0]} is {leaf[1]}, but {leaf[2]} follows from predictions and labels")
        return Verdict("bundle", "scores", "identical", counted=len(calls))

    def _other_by_labels(self, found: np.ndarray, calls: list[str]) -> tuple[str, Any, Any] | None:
        from tracker.datasets.storage import read_document
        from tracker.design_effects import effects_version
        from tracker.evaluation.scoring import as_told, score_labels
        from tracker.metrics import in_order, is_asked

        truth = parse_canonical(self.files[LABELS])
        many(text)(truth)
        told = self.final["test"]
        clusters = read_document(self.paths.sealed / "manifest.json", "sealed", REMEDY).get("clusters")
        asked = [name for name in in_order(told) if is_asked(name)]
        version = effects_version(told)
        again = score_labels(truth, calls, told["labels"], told["positive"], clusters, found, asked, version)
        return first_difference(told, as_told(told, again))

    def _decided(self, found: np.ndarray) -> list[str]:
        from tracker.standalone.decision import decide_as

        labels = self._description["labels"]
        return [labels[place] for place in decide_as(self._description, found)]

    @property
    def _description(self) -> dict[str, Any]:
        return read_report(self._model_folder / "model.json", REMEDY, model_shape)

    @property
    def _model_folder(self) -> Path:
        return self.paths.root / MODEL_FOLDER

    def _predictions(self) -> Mapping[str, np.ndarray]:
        """The stored class probabilities, each (rows, classes), finite."""
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found: dict[str, np.ndarray] = load(self.files[PREDICTIONS])
        except (SafetensorError, KeyError) as error:
            raise InputError(f"{PREDICTIONS}: cannot be read ({error})") from None
        classes = len(self._description["labels"])
        for name, rows in (("test", self.head["test_rows"]), ("made_up", None)):
            values = found.get(name)
            if values is None or values.ndim != 2 or values.shape[1] != classes or rows not in {None, len(values)}:
                raise InputError(f"{PREDICTIONS}: holds no class probabilities of {name} rows as the result needs them")
            if values.dtype != np.float64 or not np.isfinite(values).all():
                raise InputError(f"{PREDICTIONS}: {name} holds what are no probabilities")
        return found

    def _model(self) -> Verdict:
        """Whether the model is the recorded one, opens, and gives made-up rows the probabilities that it gave them."""
        from tracker.standalone.load import load_model

        description, recorded = self._description, self._recorded()
        weights = digest_bytes(self.files[f"{MODEL_FOLDER}/weights.safetensors"])
        if description["key"] != self.head["key"] or not description["weights"] == weights == recorded.outcome.weights:
            return _differs("model", "key or weights are not those of the scored trial's record")
        told = {"family": recorded.spec.family, "params": dict(recorded.spec.params)}
        if leaf := first_difference({name: description[name] for name in told}, told):
            return _differs("model", f"model.json: {leaf[0]} is {leaf[1]}, {leaf[2]} was trained")
        code = dict(recorded.spec.code)
        if code or "code" in description:
            self._require_code(description, recorded)
            require_trusted(code, self.root, "the bundle", self.trust)
        try:
            loaded = load_model(self._model_folder)
        except ValueError as error:
            if not code:
                raise
            return cannot("bundle", "model", f"{error}; its code and rows train it again: give --data")
        rows = parse_canonical(self.files[MADE_UP])
        many(named(optional(plain)))(rows)
        return self._compared("model", self._predictions()["made_up"], predicted(loaded, rows), recorded)

    @staticmethod
    def _require_code(description: Mapping[str, Any], recorded: Recorded) -> None:
        """The code that would run is the one that the key of the trial covers. Raises InputError."""
        texts = {name: digest_bytes(content.encode()) for name, content in description.get("code", {}).items()}
        wanted = {name: found for name, found in recorded.spec.code.items() if name != "entry"}
        if texts != wanted or record_from(TrialSpec, description["spec"]).key != recorded.spec.key:
            raise InputError("model.json brings other code than the scored trial was trained with; it is not run")

    def _compared(self, name: str, stored: np.ndarray, found: np.ndarray, recorded: Recorded) -> Verdict:
        """Equal bits; in another environment the same labels, and probabilities within the tolerance."""
        import numpy as np

        from tracker.surroundings.environment import asked_of, environment

        if stored.shape == found.shape and stored.tobytes() == found.tobytes():
            return Verdict("bundle", name, "identical", counted=len(found))
        if stored.shape != found.shape:
            return _differs(name, f"predictions of {len(stored)} rows are stored, {len(found)} were computed")
        gap = float(np.max(np.abs(stored - found)))
        asked = asked_of(recorded.spec.training, recorded.spec.family)
        elsewhere = environment(*asked)[0] != recorded.spec.environment
        words = f"class probabilities are up to {gap:.3g} apart"
        if elsewhere and gap <= EQUIVALENT_WITHIN and self._decided(stored) == self._decided(found):
            difference = replace(Difference.told(name, words), largest=gap)
            return Verdict("bundle", name, "equivalent", difference, counted=len(found))
        return _differs(name, words)

    def derive(self, data: str) -> Iterator[Verdict]:
        """Prepares and splits the table again, then derives the scored trial and its scores from it."""
        found = self._guarded("data", lambda: self._divided(data))
        yield found
        if not found.is_sound:
            return
        self._lay_out_code()
        try:
            yield reproduce_final(self.paths)
        except TrackerError as error:
            yield cannot("final", "final", str(error))

    def _divided(self, data: str) -> Verdict:
        from tracker.config import load_config
        from tracker.datasets.made_with import without_settings
        from tracker.datasets.prepare import prepare
        from tracker.datasets.split import split

        source = data if data.startswith("sklearn:") else str(Path(data).resolve())
        config, paths = load_config(self.paths.params).with_("data.source", source), self.paths
        try:
            report = prepare(config.data, config.preprocessing, paths.root, paths.prepared)
            split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)
        except TrackerError as error:
            return cannot("bundle", "data", str(error), "give the table that it was tuned on, as it was then")
        for folder in ("splits", "sealed"):
            name = f"data/{folder}/manifest.json"
            if without_settings((paths.root / name).read_bytes()) != without_settings(self.files.get(name, b"{}")):
                return replace(
                    _differs("data", f"{data}: gives other {folder} than were trained and scored on"), remedy=None
                )
        return Verdict("bundle", "data", "identical", counted=report.rows)

    def _lay_out_code(self) -> None:
        """Code that was let through lies where a project's own does, so that it trains again."""
        texts, wanted = self._description.get("code", {}), dict(self._recorded().spec.code)
        for name, content in texts.items():
            path = (self.paths.root / name).resolve()
            if path.is_relative_to(self.paths.root) and digest_bytes(content.encode()) == wanted.get(name):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode())
