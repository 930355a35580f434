"""A pulled cache becomes a study of the store: replayed, never trained again, and never trusted blindly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.project import SmallProject
from tests.studies.test_runner import Forbidden
from tracker.canonical import canonical_json, parse_canonical
from tracker.errors import StoreCorrupt
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies, retell_fewer


@pytest.fixture
def pulled(fresh: SmallProject) -> SmallProject:
    """A project with the outputs of `random` and `manual` and an empty store."""
    for name in ("random", "manual"):
        fresh.report(fresh.run(fresh.plan(name)))
    clone = fresh.copy(fresh.paths.root.with_name("clone"))
    (clone.paths.store / "store.db").unlink()
    return clone


def adopt(project: SmallProject) -> list[str]:
    with Store.open(project.paths.store) as store:
        return adopt_studies(project.paths.models, store, {"who": "a clone"}, lambda: 1.0)


def test_adopted_studies_are_replayed(pulled: SmallProject, fresh: SmallProject) -> None:
    """After the adoption both studies replay without training, to the digest they had; a second adoption takes nothing."""
    assert ["manual", "random"] == adopt(pulled)
    assert [] == adopt(pulled)
    for name in ("random", "manual"):
        replayed = pulled.run(pulled.plan(name), executor=Forbidden(pulled.data))
        assert fresh.run(fresh.plan(name)).digest == replayed.digest


def test_the_best_model_comes_along(pulled: SmallProject) -> None:
    """The best trial's weights are in the store afterwards, so its report and model can be written again."""
    before = pulled.written()
    adopt(pulled)
    pulled.report(pulled.run(pulled.plan("random"), executor=Forbidden(pulled.data)))
    assert before == pulled.written()


@pytest.mark.parametrize(("old", "new"), [('"seed":', '"seed":1'), ('"units":', '"units":1'), ("{", "")])
def test_altered_records_are_refused(pulled: SmallProject, old: str, new: str) -> None:
    """A record that contradicts its key, or cannot be read, stops the adoption with the file's name."""
    path = pulled.paths.models / "random" / "trials.jsonl"
    head, first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([head, first.replace(old, new), *rest]) + "\n")
    with pytest.raises(StoreCorrupt, match=r"random/trials\.jsonl: .* `tracker run`"):
        adopt(pulled)


def test_an_edited_metric_is_refused(pulled: SmallProject) -> None:
    """A number that no key covers is covered by the study's digest; a file without digest or format is not taken either."""
    path = pulled.paths.models / "random" / "trials.jsonl"
    before = path.read_text()
    head, first, *rest = before.splitlines()
    record = parse_canonical(first)
    record["outcomes"][0]["metrics"]["val_f1"] = 0.999
    path.write_text("\n".join([head, canonical_json(record).decode(), *rest]) + "\n")
    with pytest.raises(StoreCorrupt, match=r"random/trials\.jsonl: .* digest on the first line; .*`tracker run`"):
        adopt(pulled)
    about = parse_canonical(head)
    for name, message in (("digest", "digest on the first line"), ("format", "format None; this release reads 2")):
        without = {key: value for key, value in about.items() if key != name}
        path.write_text("\n".join([canonical_json(without).decode(), first, *rest]) + "\n")
        with pytest.raises(StoreCorrupt, match=message):
            adopt(pulled)
    path.write_text(before)
    assert ["random"] == adopt(pulled)


def test_weights_that_did_not_come_along_are_derived_again(pulled: SmallProject, fresh: SmallProject) -> None:
    """A study that was adopted without its best weights trains that one trial again, to the same bits."""
    adopt(pulled)
    for weights in (pulled.paths.store / "weights").rglob("*.safetensors"):
        weights.unlink()
    pulled.report(pulled.run(pulled.plan("random")))
    assert 1 == len(list((pulled.paths.store / "weights").rglob("*.safetensors")))
    assert fresh.written() == pulled.written()


def test_no_models_no_studies(tmp_path: Path, fresh: SmallProject) -> None:
    """A project without outputs has nothing to adopt."""
    assert [] == adopt(fresh)


def test_a_study_that_came_back_shorter_is_told_so(fresh: SmallProject) -> None:
    """DVC brings back records of 4 trials, the store knows an end after 6: said once, where params.yaml says 4."""
    shorter, models = fresh.config.with_("studies.random.trials", 4), fresh.paths.models
    fresh.report(fresh.run(fresh.plan("random", studies__random__trials=4)))
    key = fresh.run(fresh.plan("random")).spec.key
    with Store.open(fresh.paths.store) as store:
        before = len(store.items())
        assert [] == retell_fewer(fresh.config, models, store, 5.0)
        assert ["random"] == retell_fewer(shorter, models, store, 5.0)
        assert [] == retell_fewer(shorter, models, store, 6.0)
        assert (4, 5.0, before + 1) == (store.finish(key)[0]["trials"], store.finish(key)[1], len(store.items()))
