"""Writes the files that begin a project, from templates; what is there already stays as it is."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from tracker.config import Config, Data
from tracker.config.asked import own_metrics
from tracker.config.written import listed, quoted, scalar
from tracker.errors import ConfigError
from tracker.remedies import NO_SCM, find_dvc

CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
PLOTS = "[plots]\n    html_template = plots/page.html\n"  # DVC's own page asks the internet for its scripts
PLOT_FILES = {"page.html": "plots.html", "by_study.json": "by_study.json"}  # in .dvc/plots, by the names of templates
# rows up to which a size is meant; epochs, batch size, batch sizes to search, random and tpe trials, what is confirmed: many
# rows leave less to the luck of a seed, and each further training costs more
SIZES = (
    (5_000, 200, 32, (32, 64), 24, 48, (5, 20)),
    (50_000, 200, 128, (64, 128, 256), 16, 32, (3, 5)),
    (2**63, 100, 256, (256, 512), 16, 0, (2, 3)),
)
SMALLER = {  # what the baseline is compared with, by family
    "mlp": ("network half as deep", "{hidden_layers: 1}"),
    "cnn": ("network of one block", "{blocks: 1}"),
    "rnn": ("network half as wide", "{units: 32}"),
    "tabular": ("network of one block", "{blocks: 1}"),
}
PRESETS = {"strong": "tabular"}  # names that `tracker init` takes, and the family whose values they write, all of them
PRESET_EPOCHS, PRESET_PATIENCE = 60, 20  # over which the schedule of a preset goes; so that it is seen to its end
RARE = 0.2  # share of the rows below which a class is weighted on trial


def fill(name: str, values: Mapping[str, object]) -> str:
    """The text of a template with its gaps `@{name}` filled; its name ends so that DVC does not take it for a dvc.yaml."""
    text = (files("tracker.project") / "templates" / f"{name}.template").read_text(encoding="utf-8")
    return re.sub(r"@\{(\w+)\}", lambda gap: str(values[gap[1]]), text)


def params_text(
    data: Data,
    group: str | None,
    rows: int,
    positive: str | None,
    run: str,
    labels: Mapping[str, int] | None = None,
    shape: Sequence[int] | None = None,
    preset: str | None = None,
) -> str:
    """A params.yaml for a table: its studies suit the number of rows; `run` is the command that runs everything.

    Where one of the `labels` (rows by class) is rare, its weight is searched; where it is the positive one of two, trials are
    chosen by average precision, and a threshold on validation. Images (a `shape` of three numbers) get a convolutional
    network, sequences a recurrent one. A `preset` writes values of its own; later releases may change what it writes, never
    what was written.
    """
    _, epochs, batch, batches, random, tpe, (top, seeds) = next(size for size in SIZES if rows <= size[0])
    studies = [f"  random: {{sampler: random, trials: {random}}}"]
    studies += [f"  tpe: {{sampler: tpe, trials: {tpe}, generation: 8}}   # learns from each 8 trials"] * bool(tpe)
    method = "stratified            # or group, time, column" if group is None else f"group\n  group: {scalar(group)}"
    values = {
        "data": "\n".join(_data_lines(data, positive)),
        "split": f"  method: {method}",
        "epochs": epochs,
        "batch": batch,
        "batches": list(batches),
        "top": top,
        "seeds": seeds,
        **_for_classes(labels or {}, positive),
        "studies": "\n".join(studies),
        "experiment": scalar(Path(data.source.removeprefix("sklearn:")).stem),
        "run": run,
    }
    family = "mlp" if shape is None else "rnn" if len(shape) == 2 else "cnn"
    if preset is not None:
        family, stopping = (
            PRESETS[preset],
            re.sub(r"patience: \d+", f"patience: {PRESET_PATIENCE}", str(values["stopping"])),
        )
        values |= {"epochs": min(epochs, PRESET_EPOCHS), "stopping": stopping}
    about, smaller = SMALLER[family]
    values |= {"family": f"family: {family}", "about_smaller": about, "smaller": smaller}
    values |= {"blocks": 0 if shape is None else max(1, min(3, int(math.log2(min(shape[1:])))))}
    return fill("params.yaml", {**values, "network": fill(f"network-{family}", values).rstrip() + "\n"})


def _for_classes(labels: Mapping[str, int], positive: str | None) -> dict[str, str]:
    """What depends on how many rows each class has: the objective, what stops early, weights, the threshold."""
    rarest = min(labels, key=lambda label: labels[label], default=None)
    share = labels[rarest] / sum(labels.values()) if rarest is not None else 1.0
    is_rare, about = share < RARE, "" if positive is None else f" of {positive!r}"
    by_order = is_rare and len(labels) == 2 and rarest == positive
    metric = "val_average_precision" if by_order else "val_f1"
    return {
        "objective": f"{{metric: {metric}}}",
        "about": about and (f"; {positive!r} is rare: by the order of rows" if by_order else f"; F1{about}"),
        "stopping": f"{{monitor: {metric}, patience: 20}}" if by_order else "{monitor: val_loss, patience: 10}",
        "weights": f"\n  class_weights: [none, balanced]   # {rarest!r} is {share:.1%} of the rows" * is_rare,
        "decision": "{threshold: validation}    # chosen on validation for the best F1; or argmax, or a probability"
        if by_order
        else "{threshold: argmax}     # of two classes: the more probable one; or validation (chosen there), or a probability",
    }


def _data_lines(data: Data, positive: str | None) -> list[str]:
    """What was given as entries, what was not as comments that show how."""
    from tracker.datasets.proposals import entry_lines

    lines = [f"  source: {scalar(data.source)}", f"  target: {scalar(data.target)}"]
    lines += (
        [f"  id: {scalar(data.id)}"]
        if data.id
        else ["  # id: customer                  # names a row; never a feature"]
    )
    lines += [
        f"  drop: {listed(data.drop)}" if data.drop else "  # drop: [notes]                 # columns to leave out"
    ]
    lines += [
        f"  categorical: {listed(data.codes)}"
        if data.codes
        else "  # categorical: [zip_code]       # numbers that are really codes"
    ]
    if data.positive:
        lines.append(f"  positive: {scalar(data.positive)}")
    elif positive is not None:
        lines.append(
            f"  # positive: {scalar(positive)}   # the class of precision, recall and F1; the last in sorted order"
        )
    return [*lines, *(f"  {name}: {_flow(value)}" for name, value in entry_lines(data))]


def _flow(value: Any) -> str:
    """A text, a list or lists by name on one line of YAML."""
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(name)}: {_flow(inside)}' for name, inside in value.items())}}}"
    return f"[{', '.join(map(quoted, value))}]"


def dvc_text(source: str, code: Iterable[str] = (), images: Iterable[str] = ()) -> str:
    """A dvc.yaml whose first stage watches the table (a bundled data set has none) and the folders of the `images` that it
    names, and whose studies watch `code` files."""
    watched = listed(["${data.source}", *images])
    table = "" if source.startswith("sklearn:") else f"    deps: {watched}     # a changed table starts here\n"
    return fill("dvc.yaml", {"table": table, "code": "".join(f", {scalar(name)}" for name in code)})


def code_files(config: Config, root: Path) -> list[str]:
    """The files of the user's own code that `model.entry` and metrics lead to, from the project's folder; they are in keys."""
    entries = [entry for entry in (config.model.entry, *own_metrics(config).values()) if entry is not None]
    if not entries:
        return []
    from tracker.families.own_code import read_code

    return sorted({source.place for entry in entries for source in read_code(root, entry).sources.values()})


def write_new(root: Path, texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Writes the files that are not there; the names of those written, and a sentence for each that was left alone."""
    written, left = [], []
    for name, text in texts.items():
        try:
            with (root / name).open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(name)
        except FileExistsError:
            left.append(name + _lacking(root / name, text))
        except OSError as error:
            raise ConfigError(f"{root / name}: cannot be written ({error.strerror})") from None
    return written, left


def _lacking(path: Path, text: str) -> str:
    """Which lines a list of ignored names misses; such a file is the user's, so we only say it."""
    if not path.name.endswith("ignore"):
        return ""
    there = {line.strip().strip("/") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    missing = [line for line in lines if line.strip("/") not in there]
    return f" (add to it: {' '.join(missing)})" if missing else ""


def begin_dvc(root: Path) -> str | None:
    """Runs `dvc init` where DVC is installed and no folder above has it; what was done or failed, in a sentence."""
    program = find_dvc()
    if program is None or _above(root, ".dvc") is not None:
        return None
    git = _above(root, ".git")
    options = ["--no-scm"] if git is None else [] if git == root else ["--subdir"]
    words = [program, "init", "--quiet", *options]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603  our words, no shell
    told = " ".join(["dvc init", *options])
    if done.returncode:
        return f"`{told}` failed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
    text = CONFIG + f"    {NO_SCM}\n" * (git is None) + PLOTS
    (root / ".dvc" / "config").write_text(text, encoding="utf-8")  # it was just made, empty
    return f"ran `{told}`, without its usage statistics"


def write_plot_files(root: Path) -> None:
    """Writes what `dvc plots` draws with beside the nearest DVC configuration, where there is one; overwrites nothing."""
    home = _above(root, ".dvc")
    if home is not None and (home / ".dvc").is_dir():
        (home / ".dvc" / "plots").mkdir(exist_ok=True)
        write_new(home / ".dvc" / "plots", {name: fill(template, {}) for name, template in PLOT_FILES.items()})


def _above(root: Path, name: str) -> Path | None:
    return next((folder for folder in (root, *root.parents) if (folder / name).exists()), None)
