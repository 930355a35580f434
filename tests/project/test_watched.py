"""A dvc.yaml of an earlier release, or one that people changed, beside what this release reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.project.files import fill
from tracker.project.watched import unwatched

PLAIN = fill("dvc.yaml", {"table": "", "code": ""})
PARAMS = (
    "seed: 1\n" + "\n".join(f"{name}: {{}}" for name in
    ("data", "split", "preprocessing", "model", "training", "hyperparameters", "search_space", "objective", "decision",
     "studies", "refinements", "compare")) + "\n"
)  # fmt: skip


def told(root: Path, text: str, params: str = PARAMS) -> list[str]:
    (root / "dvc.yaml").write_text(text)
    (root / "params.yaml").write_text(params)
    return unwatched(root)


def test_what_tracker_init_writes_lacks_nothing(tmp_path: Path) -> None:
    """The template agrees with itself, and a project without a dvc.yaml, or with a broken one, has nothing to be told."""
    assert [] == told(tmp_path, PLAIN)
    assert [] == told(tmp_path, "stages: [")
    (tmp_path / "dvc.yaml").unlink()
    assert [] == unwatched(tmp_path)


def test_an_entry_that_a_stage_reads_and_dvc_does_not_watch_is_named(tmp_path: Path) -> None:
    """Where an entry is missing, the stage, the entry and what to write are told; several at once on one line."""
    [line] = told(tmp_path, PLAIN.replace("objective, decision, ", "", 1))
    assert line == (
        "dvc.yaml: stage tune reads objective, decision, which its params do not name; add to params: [objective, decision], "
        "or `dvc repro` does not see them change"
    )
    [line] = told(tmp_path, PLAIN.replace(', "studies.${key}"', ""))
    assert 'add to params: ["studies.${key}"], or' in line


def test_a_result_that_is_no_output_is_named(tmp_path: Path) -> None:
    """A file that this release writes is an output, a metric or a plot of its stage."""
    [line] = told(
        tmp_path, PLAIN.replace("      - reports/ranking.json: {persist: true}", "      - reports/other.json:")
    )
    assert "stage compare writes reports/ranking.json, which its outs do not name" in line
    moved = PLAIN.replace("      - reports/final.json\n", "").replace(
        "[reports/metrics.json]", "[reports/metrics.json, reports/final.json]"
    )
    assert [] == told(tmp_path, moved)


@pytest.mark.parametrize(
    "params", ["[params.yaml: [seed, split]]", "[{params.yaml: null}]", "[seed, {other.yaml: [x]}, split]"]
)
def test_entries_may_be_listed_by_file(tmp_path: Path, params: str) -> None:
    """DVC's other writings of the same: entries under the name of the file, or the whole file."""
    assert [] == told(tmp_path, PLAIN.replace("params: [seed, split]", f"params: {params}"))


def test_a_section_that_dvc_wants_and_params_lacks_is_named(tmp_path: Path) -> None:
    """DVC refuses a stage whose entry is not in params.yaml, so what is to be written there is told."""
    lines = told(tmp_path, PLAIN, PARAMS.replace("decision: {}\n", ""))
    assert lines == [
        "dvc.yaml: stages tune, refine watch decision, which params.yaml has not: DVC refuses that; write decision: {}"
    ]
    [line] = told(tmp_path, PLAIN, PARAMS.replace("refinements: {}\n", ""))
    assert line.endswith(
        "stage refine watches refinements, which params.yaml has not: DVC refuses that; write refinements: {}"
    )


def test_refinements_that_no_stage_runs_are_named(tmp_path: Path) -> None:
    """A dvc.yaml of a release before there were any has no stage for them; without any nothing is told."""
    earlier = PLAIN[: PLAIN.index("  refine:")] + PLAIN[PLAIN.index("  compare:") :]
    assert [] == told(tmp_path, earlier)
    [line] = told(tmp_path, earlier, PARAMS.replace("refinements: {}", "refinements: {fine: {refine: random}}"))
    assert line.startswith("dvc.yaml: no stage runs the refinements of params.yaml")


def test_own_code_that_no_study_depends_on_is_named(tmp_path: Path) -> None:
    """A network of one's own, and what it imports from the project, change what a study finds."""
    (tmp_path / "layers.py").write_text("WIDTH = 3\n")
    (tmp_path / "net.py").write_text(
        "import layers\n\n\ndef build(hyperparameters, input_shape, classes):\n    return layers.WIDTH\n"
    )
    params = """
seed: 1
data: {source: "sklearn:wine", target: target}
model: {family: build, entry: "net:build"}
search_space: {learning_rate: [0.01, 0.1]}
studies: {random: {sampler: random, trials: 2}}
"""
    [line] = [line for line in told(tmp_path, PLAIN, params) if "runs code" in line]
    assert line == (
        "dvc.yaml: stage tune runs code that its deps do not name; add to deps: [layers.py, net.py], "
        "or `dvc repro` does not see it change"
    )
    text = fill("dvc.yaml", {"table": "", "code": ", layers.py, net.py"})
    assert [] == [line for line in told(tmp_path, text, params) if "runs code" in line]
