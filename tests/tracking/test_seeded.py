"""What people wrote where we write, too, is never overwritten, whenever we were killed."""

from __future__ import annotations

from tracker.tracking.seeded import SEEDED, to_write

NOTE = "mlflow.note.content"


def written(tags: dict[str, str], text: str, steps: int | None = None) -> dict[str, str]:
    """The tags after the first steps (None: all) of writing a note."""
    return tags | dict(to_write(tags, {NOTE: text})[:steps])


def test_a_text_follows_what_we_have_to_say() -> None:
    """It is written where there is none, written anew when it changes, and not written again when it does not."""
    first = written({}, "one")
    assert first[NOTE] == "one"
    assert to_write(first, {NOTE: "one"}) == []
    assert written(first, "two")[NOTE] == "two"
    assert written({NOTE: ""}, "one")[NOTE] == "one"


def test_a_text_of_somebody_elses_stays() -> None:
    """Written before ours, over ours, or ours deleted: it stays as it is."""
    ours = written({}, "one")
    for theirs in ({NOTE: "mine"}, ours | {NOTE: "mine"}, ours | {NOTE: ""}, {SEEDED: ours[SEEDED]}):
        assert to_write(theirs, {NOTE: "two"}) == []


def test_other_texts_go_on() -> None:
    """A view that somebody changed stops no other."""
    tags = dict(to_write({}, {"view.a": "1", "view.b": "1"})) | {"view.a": "mine"}
    after = tags | dict(to_write(tags, {"view.a": "2", "view.b": "2", "view.c": "2"}))
    assert {name: value for name, value in after.items() if name != SEEDED} == {
        "view.a": "mine", "view.b": "2", "view.c": "2",
    }  # fmt: skip


def test_a_kill_between_two_writes_makes_no_text_of_ours_a_strangers() -> None:
    """After any number of the writes the next call brings the text there, and the one after that writes nothing."""
    for start in ({}, written({}, "zero")):
        for steps in range(3):
            torn = written(start, "one", steps)
            for last in ("one", "two"):
                whole = written(torn, last)
                assert whole[NOTE] == last, (steps, last)
                assert to_write(whole, {NOTE: last}) == []
                assert to_write(whole | {NOTE: ""}, {NOTE: "three"}) == []
