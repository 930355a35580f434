"""The recipes of docs/howto/retune.md: systemd, GitHub and GitLab read what the page shows, and its shell is shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs/howto/retune.md"


def ci_files() -> dict[str, dict[Any, Any]]:
    """The yaml blocks of the page that are files of a CI, by the name of the product."""
    found = [yaml.safe_load(text) for text in blocks(PAGE, "yaml")]
    return {
        "github": next(one for one in found if "jobs" in one),
        "gitlab": next(one for one in found if "script" in one.get("retune", {})),
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_takes_both_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say of the units but that the program is not installed at the example's place."""
    units = {}
    for text in blocks(PAGE, "ini"):
        name, _, content = text.removeprefix("# ").partition("\n")
        units[name] = tmp_path / name
        units[name].write_text(content.replace("%h/churn/.venv/bin/tracker", "/bin/true"))
    assert {"churn-retune.service", "churn-retune.timer"} == set(units)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, units.values())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    about_ours = [line for line in done.stderr.splitlines() if "churn-retune" in line]
    assert (0, []) == (done.returncode, about_ours), done.stderr


def test_every_night_at_three_is_what_the_timers_say() -> None:
    """cron, systemd and GitHub name the same time; a scheduled job of GitHub and GitLab never runs twice at once."""
    files, text = ci_files(), PAGE.read_text(encoding="utf-8")
    [line] = [one for block in blocks(PAGE, "crontab") for one in block.splitlines()]
    assert ["0", "3", "*", "*", "*"] == line.split()[:5]
    assert "OnCalendar=*-*-* 03:00" in text
    github = files["github"]
    assert [{"cron": "0 3 * * *"}] == github[True]["schedule"]  # YAML 1.1 reads the key `on` as true, and GitHub as on
    assert github["concurrency"]
    assert files["gitlab"]["retune"]["resource_group"]


def test_the_shell_of_the_recipes_is_shell(tmp_path: Path) -> None:
    """Every line that a recipe runs is read by sh, and the same commands stand in both CI files, in the same order."""
    files = ci_files()
    steps = [step["run"] for step in files["github"]["jobs"]["retune"]["steps"] if "run" in step]
    script = files["gitlab"]["retune"]["script"]
    [line] = [one for block in blocks(PAGE, "crontab") for one in block.splitlines()]
    for text in [*steps, *script, line.split(maxsplit=5)[5]]:
        done = subprocess.run(["sh", "-n", "-c", text], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (0, "") == (done.returncode, done.stderr), text
    assert script == steps[: len(script)]
    assert re.search(r"pip install .*\ndvc pull --allow-missing\ntracker pull\ntracker retune", "\n".join(script))
