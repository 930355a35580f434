"""The page in a real browser: it asks nobody for anything, fits every screen, can be read in both schemes and used by keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.golden_project import unpack
from tests.tracking.browser import fresh_page
from tracker.config import load_config
from tracker.paths import Paths
from tracker.reporting.facts import collect
from tracker.reporting.page import render_html

LEAST_CONTRAST = 4.5  # of text with what is behind it (WCAG 2.2, 1.4.3)
CONTRASTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = colour => [.2126, .7152, .0722].reduce((sum, share, place) => {
    const part = colour[place] / 255;
    return sum + share * (part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
  }, 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (colour, element) => {
    const [low, high] = [light(numbers(colour)), light(behind(element))].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const found = [["placeholder", contrast(getComputedStyle(filter, "::placeholder").color, filter)]];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode, element = text.parentElement, style = getComputedStyle(element);
    if (!text.data.trim() || element.closest("script, style, title")) continue;
    found.push([text.data.trim(), contrast(element.closest("svg") ? style.fill : style.color, element)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of a scored project whose target has ten classes."""
    paths = Paths.of(unpack(tmp_path_factory.mktemp("golden")), {})
    facts = collect(paths, load_config(paths.params))
    final: Any = facts.final
    labels = [str(number) for number in range(10)]
    cells = [[36 if row == column else (row * column) % 3 for column in range(10)] for row in range(10)]
    ten = {**final, "test": {**final["test"], "labels": labels, "confusion_matrix": cells}}
    file: Path = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(render_html(replace(facts, final=ten)))
    with fresh_page() as opened:
        opened.asked_for = []
        opened.on("request", lambda request: opened.asked_for.append(request.url))
        opened.goto(file.as_uri())
        yield opened


def test_it_asks_nobody_for_anything(page: Any) -> None:
    """The only request is for the file itself."""
    assert [page.url] == page.asked_for


@pytest.mark.parametrize("width", [1400, 1000, 700, 420])
def test_ten_classes_fit_every_screen(page: Any, width: int) -> None:
    """The confusion matrix is not cut, on paper neither, and no page is wider than its window."""
    page.set_viewport_size({"width": width, "height": 900})
    cut = "[...document.querySelectorAll('.matrix')].filter(e => e.offsetWidth > e.parentElement.clientWidth).length"
    for media in ("screen", "print"):
        page.emulate_media(media=media)
        assert 1 == page.locator(".matrix").count()
        assert 0 == page.evaluate(cut), media
    page.emulate_media(media="screen")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(page: Any, scheme: str) -> None:
    """Each stands out from what is behind it, in charts and in the field for words too."""
    page.emulate_media(color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 500
    assert [] == [(text, round(contrast, 2)) for text, contrast in found if contrast < LEAST_CONTRAST]


def test_the_trials_are_sorted_and_filtered_by_keys(page: Any) -> None:
    """Tab reaches each heading, Enter sorts by it and Space turns it round, and what is reached is seen; words filter."""
    page.set_viewport_size({"width": 1000, "height": 900})
    page.focus("#filter")
    page.keyboard.type("tpe")
    shown = page.locator("#trials tbody tr:visible").all_inner_texts()
    assert shown
    assert all("tpe" in row for row in shown)
    every = page.locator("#trials tbody tr").count()
    assert f"{len(shown)} of {every}" == page.locator("#found").inner_text()
    page.fill("#filter", "")
    assert every == page.locator("#trials tbody tr:visible").count()
    heads = [name.strip() for name in page.locator("#trials th").all_inner_texts()]
    for _ in range(2 + heads.index("epochs")):  # the table is a stop of its own, as it scrolls
        page.keyboard.press("Tab")
    focused = "document.activeElement.closest('th')"
    assert "epochs" == page.evaluate(f"{focused}.innerText.trim()")
    assert "solid" == page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    epochs = "[...document.querySelectorAll('#trials tbody tr')].map(row => Number(row.cells[%d].textContent))"
    for key, order in (("Enter", "ascending"), ("Space", "descending")):
        page.keyboard.press(key)
        assert order == page.evaluate(f"{focused}.getAttribute('aria-sort')")
        told = [number for number in page.evaluate(epochs % heads.index("epochs")) if number]
        assert sorted(told, reverse=order == "descending") == told


def test_headings_are_in_order_and_names_are_told_once(page: Any) -> None:
    """One first heading, none that skips a level, a language, a main part, and no two elements of one id."""
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(head => Number(head.tagName[1]))")
    assert 1 == levels.count(1)
    assert 1 == levels[0]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert "en" == page.evaluate("document.documentElement.lang")
    assert 1 == page.locator("main").count()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert sorted(set(ids)) == sorted(ids)
