"""What every recorder promises, as one suite that each of them inherits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracker.errors import TrackingError
from tracker.tracking.recorder import TEXT_LIMIT, Found, Recorder
from tracker.tracking.run_contents import Point, Run

RUN = Run("tpe/0", 1000, 5000, "FINISHED", {"tracker.kind": "trial", "tracker.trial": "0"}, {"units": "8"})
PAGE = 3


def names(found: list[Found]) -> list[str]:
    return sorted(run.name for run in found)


class RecorderContract:
    """Inherit, and give a fixture `recorder` that asks for `PAGE` runs at a time."""

    def test_a_run_is_created_running_and_known_by_its_tags(self, recorder: Recorder) -> None:
        """What create gives is what a search finds: RUNNING, its name, start and tags, its parent among them."""
        parent = recorder.create(replace(RUN, name="tpe", tags={"tracker.kind": "study"}), None)
        made = recorder.create(RUN, parent.run_id)
        assert recorder.search("tracker.kind", "trial") == [made]
        assert (made.name, made.status, made.start_ms, made.ended) == ("tpe/0", "RUNNING", 1000, False)
        assert RUN.tags.items() <= made.tags.items()
        assert made.tags["mlflow.parentRunId"] == parent.run_id

    def test_a_search_reads_every_page(self, recorder: Recorder) -> None:
        """Ten runs in answers of three: all ten, each once, and none with another tag."""
        wanted = [replace(RUN, name=f"tpe/{number}", start_ms=number % 4) for number in range(10)]
        for run in [*wanted, replace(RUN, name="other", tags={"tracker.kind": "study"})]:
            recorder.create(run, None)
        assert names(recorder.search("tracker.kind", "trial")) == sorted(run.name for run in wanted)

    def test_a_param_never_changes(self, recorder: Recorder) -> None:
        """The same value again is fine, another one is refused."""
        made = recorder.create(RUN, None)
        for _ in range(2):
            recorder.fill(made, RUN)
        with pytest.raises(TrackingError, match="units"):
            recorder.fill(made, replace(RUN, params={"units": "16"}))

    def test_equal_points_merge(self, recorder: Recorder) -> None:
        """Points that are logged again are there once, NaN too; another time is another point, the newest the last."""
        made = recorder.create(RUN, None)
        points = [Point("loss", 0.5, 10, 1), Point("loss", float("nan"), 30, 3), Point("loss", 0.25, 20, 2)]
        for _ in range(2):
            recorder.fill(made, replace(RUN, points=points))
        assert recorder.last_value(made, "loss") != recorder.last_value(made, "loss")  # it is NaN
        recorder.fill(made, replace(RUN, points=[Point("loss", 0.125, 40, 2)]))
        assert self.steps(recorder, made, "loss") == [1, 2, 2, 3]
        assert recorder.last_value(made, "loss") == 0.125
        assert recorder.last_value(made, "other") is None

    def test_tags_can_be_added_and_changed(self, recorder: Recorder) -> None:
        """fill sets the tags of the run; a search finds the new ones."""
        made = recorder.create(RUN, None)
        recorder.fill(made, replace(RUN, tags={"tracker.trial": "7", "tracker.state": "complete"}))
        [found] = recorder.search("tracker.state", "complete")
        assert (found.run_id, found.tags["tracker.trial"], found.tags["tracker.kind"]) == (made.run_id, "7", "trial")

    def test_long_texts_are_cut(self, recorder: Recorder) -> None:
        """A tag longer than the limit is kept to the limit, with an ellipsis; the record has it whole."""
        made = recorder.create(replace(RUN, tags={"tracker.reason": "x" * (TEXT_LIMIT + 1)}), None)
        assert made.tags["tracker.reason"] == "x" * (TEXT_LIMIT - 1) + "…"

    def test_a_run_ends_with_its_own_times(self, recorder: Recorder) -> None:
        """Status and end are those of the run; a run can be ended again."""
        made = recorder.create(RUN, None)
        for status, end in (("FAILED", 4000), ("FINISHED", 6000)):
            recorder.end(made, replace(RUN, status=status, end_ms=end))
            [found] = recorder.search("tracker.kind", "trial")
            assert (found.status, found.start_ms, found.end_ms, found.ended) == (status, 1000, end, True)

    def test_files_come_back_and_are_written_over(self, recorder: Recorder) -> None:
        """A file of a run, in a folder or not, is read as it was last written; the others stay; a missing one is said."""
        made = recorder.create(RUN, None)
        for content in (b"one", b"two"):
            with recorder.files(made) as folder:
                (folder / "record.json").write_bytes(content)
                if content == b"one":
                    (folder / "model").mkdir()
                    (folder / "model" / "MLmodel").write_bytes(content)
        assert recorder.read(made, "record.json") == b"two"
        assert recorder.read(made, "model/MLmodel") == b"one"
        with pytest.raises(TrackingError, match=r"none\.json"):
            recorder.read(made, "none.json")
        assert [False, True] == [recorder.lacks(made, name) for name in ("record.json", "none.json")]

    def test_a_folder_and_a_tag_can_be_taken_off(self, recorder: Recorder) -> None:
        """What is removed is gone, with its size; the other files stay; to remove what is not there is fine."""
        made = recorder.create(RUN, None)
        with recorder.files(made) as folder:
            (folder / "model" / "code").mkdir(parents=True)
            for name in ("record.json", "model/MLmodel", "model/code/x.py"):
                (folder / name).write_bytes(b"four")
        assert [8, 4, 0] == [recorder.size(made, name) for name in ("model", "record.json", "none")]
        for _ in range(2):
            recorder.remove(made, "model")
            recorder.untag(made, "tracker.trial")
        assert [0, 4] == [recorder.size(made, name) for name in ("model", "record.json")]
        [found] = recorder.search("tracker.kind", "trial")
        assert "tracker.trial" not in found.tags

    def test_a_deleted_run_is_gone(self, recorder: Recorder) -> None:
        """It comes up in no search, and can be neither filled nor ended."""
        made, other = recorder.create(RUN, None), recorder.create(RUN, None)
        recorder.delete(made)
        assert recorder.search("tracker.kind", "trial") == [other]
        with pytest.raises(TrackingError):
            recorder.fill(made, RUN)
        with pytest.raises(TrackingError):
            recorder.end(made, RUN)

    def test_it_can_be_reached(self, recorder: Recorder) -> None:
        """Connecting gives the same experiment each time."""
        first = recorder.connect()
        recorder.reach()
        assert recorder.connect() == first

    def steps(self, recorder: Recorder, found: Found, metric: str) -> list[int]:
        """The steps of all points of a metric, in order."""
        raise NotImplementedError
