"""The model of a recorded trial: of the kept weights, else derived again, which must give the recorded bits."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tracker.deriving.compare_models import describe_again
from tracker.deriving.find_trial import FINAL, find_final, find_recorded
from tracker.deriving.judge_trial import reproduce_record
from tracker.errors import NotFoundError, ReplayError
from tracker.families.trusted_code import require_trusted
from tracker.paths import Paths
from tracker.store.model_folder import write_model
from tracker.store.store import Store

if TYPE_CHECKING:
    from tracker.standalone.load import StandaloneModel

TRIAL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*/[0-9]{1,8}(@[0-9a-f]{4,64})?")


def open_model(model: str | Path, paths: Paths, trust: str | None = None) -> StandaloneModel:
    """The model in a folder, or, where there is no such folder, that of STUDY/NUMBER, or for `final` that which was scored."""
    from tracker.standalone.load import load_model
    from tracker.studies.derived_model import require_own_code

    if isinstance(model, str) and (model == FINAL or TRIAL.fullmatch(model)) and not Path(model).exists():
        with TemporaryDirectory(prefix="tracker-") as scratch:
            write_model_again(model, paths, Path(scratch) / "model", trust)
            return load_model(Path(scratch) / "model")
    require_own_code(Path(model), paths.root, trust)
    return load_model(model)


def write_model_again(target: str, paths: Paths, folder: Path, trust: str | None = None) -> None:
    """Writes the model folder of STUDY/NUMBER or `final`; weights that were not kept are trained again in a fresh process.

    Raises NotFoundError where the trial has no model, ReplayError where other weights than the recorded ones come out,
    CodeNotTrusted where its code is not that of the project's folder.
    """
    recorded = find_final(paths)[1] if target == FINAL else find_recorded(target, paths)
    digest = recorded.outcome.weights
    if digest is None:
        raise NotFoundError(f"{target} has no model: {recorded.outcome.reason or 'it was stopped, or gave none'}")
    if recorded.spec.code:
        require_trusted(recorded.spec.code, paths.root, target, trust)
    with Store.opened_if_there(paths.store) as store:
        weights = store.weights(digest) if store is not None and store.has_weights(digest) else None
    if weights is None:
        derived = folder.with_name(f"{folder.name}.safetensors")
        found = reproduce_record(recorded, paths.root, paths.splits, None, derived)
        if found.state != "identical":
            why = found.first_difference.words if found.first_difference else "; ".join(c.words for c in found.causes)
            raise ReplayError(f"{target}: its model was not kept, and training again {found.state}: {why}")
        weights = derived.read_bytes()
    write_model(folder, describe_again(recorded, paths), weights)
