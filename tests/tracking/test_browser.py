"""A real browser with a fresh profile, on the address that `tracker ui` prints: the answer, without a click.

MLflow's saved views have no documented format: these tests say when a release of MLflow reads them otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.tracking.browser import column_names, fresh_page, rows, tracker_ui
from tests.tracking.runs_in_mlflow import run_named
from tests.tracking.studies import DATA, EXPERIMENT, PROVENANCE, SERVING, STARTED, run_trials, study_spec
from tracker.store.store import Store
from tracker.tracking.delivery import Delivery
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.views import VIEW

SPACE = {
    "entries": [
        {"name": "learning_rate", "kind": "range", "low": 1e-4, "high": 0.1, "log": True, "when": {}},
        {"name": "units", "kind": "choice", "choices": [8, 16], "when": {}},
    ]
}
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
STUDIES = {"manual": (4, 3), "grid": (3, 2), "random": (8, 7), "tpe": (6, 5)}  # trials, and the best of them


@pytest.mark.slow
def test_the_first_address_shows_the_answer(tmp_path: Path, uri: str) -> None:
    """Every current study and the final result, objective first and sorted, no JSON, model training; then a study's own.

    What a person changed there is as they left it after the next delivery, and in the browser.
    """
    _fill(tmp_path / ".tracker", uri)
    with fresh_page() as page, tracker_ui(tmp_path, uri, EXPERIMENT) as address:
        page.goto(address)
        page.get_by_text("matching runs").wait_for()
        page.locator(".ag-row .ag-cell[col-id='metrics.`best_val_f1`']").first.wait_for()
        shown, columns = rows(page), column_names(page)
        names = [row["attributes.`Run Name`"] for row in shown]
        assert {"final tpe/5", "manual", "grid", "random", "tpe [generation 4]"} == set(names), names
        numbers = [name for name in columns if name not in {"Run Name", "Created", "Metrics", "Parameters"}]
        assert numbers[:3] == ["best_val_f1", "test_f1", "trials"]
        scores = [float(row["metrics.`best_val_f1`"]) for row in shown]
        assert scores == sorted(scores, reverse=True)
        assert scores[names.index("random")] == 0.72
        assert not [cell for row in shown for cell in row.values() if cell.startswith(("{", "["))]
        side = page.locator("nav, aside").all_inner_texts()
        assert "Prompts" not in str(side)
        assert page.get_by_text("Model registry", exact=True).is_visible()
        link = page.get_by_role("link", name="tpe/5", exact=True).first.get_attribute(
            "href"
        )  # in the experiment's note
        page.goto(address.partition("/#")[0] + "/#" + link.partition("#")[2])
        page.reload()
        page.get_by_label("Edit tags").wait_for()
        assert "Prompts" not in str(page.locator("nav, aside").all_inner_texts()), "a link keeps the mode for training"
        page.goto(address.replace("tracker-studies", "tracker-study-random"))
        page.reload()
        page.locator(".ag-row", has_text="random/0").first.wait_for()
        trials = [row["attributes.`Run Name`"] for row in rows(page)]
        assert [f"random/{number}" for number in range(7, -1, -1)] == trials, trials
        _change(uri)
        _fill(tmp_path / ".tracker", uri)  # as a second `dvc repro` delivers: what it finds is not written again
        page.reload()
        page.locator(".ag-row", has_text="the good one").first.wait_for()
        shown = [row["attributes.`Run Name`"] for row in rows(page)]
        assert ["the good one", *(f"random/{number}" for number in range(6, 0, -1))] == shown, shown
        page.goto(address.replace("tracker-studies", "mine"))
        page.reload()
        page.locator(".ag-row", has_text="grid/0").first.wait_for()
        assert {f"grid/{number}" for number in range(3)} == {row["attributes.`Run Name`"] for row in rows(page)}
    client = MlflowClient(uri)
    tags = client.get_experiment_by_name(EXPERIMENT).tags
    assert "not before Monday" == tags["mlflow.note.content"]
    assert "yes" == run_named(uri, "the good one").data.tags["reviewed"]


@pytest.mark.slow
def test_a_fresh_browser_stays_in_the_mode_for_training(tmp_path: Path, uri: str) -> None:
    """MLflow's own links, which say no mode, stay there, and no assistant opens; who chooses the other mode keeps it."""
    _fill(tmp_path / ".tracker", uri)
    with fresh_page() as page, tracker_ui(tmp_path, uri, EXPERIMENT) as address:
        page.goto(address)
        page.locator(".ag-row").get_by_role("link", name="random", exact=True).click()
        page.get_by_label("Edit tags").wait_for()
        assert "workflowType" not in page.url
        assert "Prompts" not in str(page.locator("nav, aside").all_inner_texts())
        assert 0 == page.get_by_placeholder("Ask a question").count()
        page.get_by_text("GenAI", exact=True).click()
        page.get_by_role("link", name="Prompts", exact=True).wait_for()
        page.goto(address.partition("/#")[0])
        page.reload()
        page.get_by_role("link", name="Prompts", exact=True).wait_for()


def _change(uri: str) -> None:
    """What a person does: a view and a note of their own, a tag, another name, a run deleted."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    own = experiment.tags[f"{VIEW}tracker-study-grid"]
    client.set_experiment_tag(experiment.experiment_id, f"{VIEW}mine", own.replace('"grid', '"mine', 1))
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "not before Monday")
    best = run_named(uri, "random/7").info.run_id
    client.set_tag(best, "reviewed", "yes")
    client.update_run(best, name="the good one")
    client.delete_run(run_named(uri, "random/0").info.run_id)


def _fill(folder: Path, uri: str) -> None:
    """Four studies, one of them superseded by another of its name, and a final result, delivered."""
    with Store.open(folder, lambda: STARTED) as store:
        store.put_serving(DATA, SERVING)
        old = store.put_study(study_spec("tpe", space=SPACE, generation=2), PROVENANCE)
        run_trials(store, old, range(1), "old")
        keys = []
        for name, (trials, best) in STUDIES.items():
            keys.append(store.put_study(study_spec(name, space=SPACE), PROVENANCE))
            planned = run_trials(store, keys[-1], range(trials), name)
            summary = {"number": best, "value": best / 10 + 0.02, "trials": trials, "digest": "d" * 64}
            store.finish_study(keys[-1], summary)
        store.put_final({"study": "tpe", "trial": 5, "key": planned[5].spec.key, "params": {"learning_rate": 0.006},
                         "validation": {"val_f1": 0.52}, "test": {"f1": 0.5}, "test_digest": "7" * 64, "looks": 1})  # fmt: skip
        with Delivery(store, MlflowRecorder(uri, EXPERIMENT), "none") as delivery:
            assert delivery.deliver(keys).problem is None
