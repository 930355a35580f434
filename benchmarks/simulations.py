"""How often what reports claim is true, where the truth is known: python -m benchmarks.simulations [PART ...]

Parts: `intervals` of test scores (rows alone and in groups), the same in `unequal` groups and in groups of `several_classes`,
of means `weighted` by class, `pairs` of equals that are compared, `grouped_pairs` whose rows
come in groups, the `band` of tuning curves, `optimism`, and whole `pipelines` on labels that are pure noise. The product's own
functions answer; `--seed` is 2026, `--version` that of the design effects of rows in groups, the newest.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import hypergeom

from tests.studies.project import SmallProject
from tracker.config import Compare
from tracker.confusion import count_confusion
from tracker.design_effects import VERSION, design_effects
from tracker.evaluation.compare import compare
from tracker.evaluation.details import Called, detail
from tracker.evaluation.optimism import difference_interval
from tracker.evaluation.paired import Question, compare_pair
from tracker.evaluation.tuning_curve import level_band, tuning_curve
from tracker.metrics import SCORES, score_intervals, scores

SETS, DETAILED, PAIRS, PIPELINES = 2000, 500, 500, 200
RATIOS = ("precision", "recall", "f1")
MODELS = [  # share of each class, how often each is called right, the positive class, rows
    ([0.63, 0.37], [0.97, 0.94], 1, 115),
    ([0.5, 0.5], [0.8, 0.7], 1, 100),
    ([0.9, 0.1], [0.97, 0.7], 1, 200),
    ([0.33, 0.4, 0.27], [0.8, 0.7, 0.9], None, 100),
    ([0.1] * 10, [0.95] * 10, None, 360),
]
GROUPS = [  # how many groups, rows in a group on average, how alike its rows are
    (30, 4, 1.0), (60, 6, 0.4), (100, 5, 0.3), (40, 30, 1.0), (200, 3, 0.6), (20, 10, 0.5), (50, 2, 1.0),
]  # fmt: skip
UNEQUAL = [  # the same, the sizes lognormal: the largest of 40 has as many rows as about 10 on average
    (15, 10, 0.5), (30, 10, 0.5), (40, 30, 1.0), (60, 6, 0.4),
]  # fmt: skip
SEVERAL_CLASSES = [  # the same of groups that have rows of several classes, in shares of their own
    (10, 10, 0.5), (20, 10, 0.5), (40, 30, 1.0), (30, 4, 1.0),
]  # fmt: skip
EQUALS = [  # rows, how often both are right, how alike their mistakes are, classes, seeds of each
    (113, 0.95, 0.8, 2, 1), (113, 0.95, 0.3, 2, 1), (113, 0.8, 0.8, 2, 1), (500, 0.9, 0.8, 2, 1), (200, 0.8, 0.7, 3, 1),
    (40, 0.8, 0.7, 2, 1), (113, 0.95, 0.8, 2, 10),
]  # fmt: skip
GROUPED_EQUALS = [  # how many groups, rows in a group on average, how alike its rows are, share of each class, as in EQUALS
    (20, 10, 0.5, [0.5, 0.5], 0.8, 0.7), (30, 4, 1.0, [0.5, 0.5], 0.8, 0.7), (60, 6, 0.4, [0.63, 0.37], 0.95, 0.8),
    (20, 10, 0.5, [0.9, 0.1], 0.8, 0.7), (40, 30, 1.0, [0.9, 0.1], 0.8, 0.7), (50, 2, 1.0, [0.33, 0.4, 0.27], 0.8, 0.7),
]  # fmt: skip
NOISE = """
seed: {seed}
data: {{source: table.csv, target: kind, id: who}}
training: {{epochs: 4}}
hyperparameters: {{hidden_layers: 1, units: 8, learning_rate: 1e-2, batch_size: 32}}
search_space: {{learning_rate: {{low: 1e-3, high: 1e-1, log: true}}, units: [8, 16]}}
studies: {{random: {{sampler: random, trials: 12}}}}
tracking: {{experiment: noise}}
"""


def confusion_of(prior, right):
    """The probability of each cell: mistakes go evenly to the other classes."""
    classes = len(prior)
    wrong = (1 - np.array(right))[:, None] * (1 - np.eye(classes)) / (classes - 1)
    return np.diag(prior) @ (np.diag(right) + wrong)


def intervals(rng, version):
    """Coverage of the 95 % intervals of all scores, rows alone and in groups."""
    found = []
    for prior, right, positive, rows in MODELS:
        cells = confusion_of(prior, right)
        counts = rng.multinomial(rows, cells.ravel(), size=SETS).reshape(SETS, *cells.shape)
        shares = covered(cells, positive, ((one, None) for one in counts))
        found += told(f"rows: {len(prior)} classes, {rows} rows", shares)
    print(f"  {summed_up(found)}")
    print(f"intervals: in groups {summed_up(in_settings(rng, version, GROUPS, 'whole'))}")


def unequal(rng, version):
    """Coverage of the 95 % intervals of all scores where a few groups have most rows."""
    print(f"unequal: {summed_up(in_settings(rng, version, UNEQUAL, 'unequal'))}")


def several_classes(rng, version):
    """Coverage of the 95 % intervals of all scores where groups have rows of several classes."""
    print(f"several_classes: {summed_up(in_settings(rng, version, SEVERAL_CLASSES, 'several'))}")


def in_settings(rng, version, settings, kind):
    found = []
    for prior, right, positive, _ in MODELS[:4]:
        for groups, usual, alike in settings:
            sets = (grouped(rng, prior, right, positive, (groups, usual, alike), kind, version) for _ in range(SETS))
            shares = covered(confusion_of(prior, right), positive, sets)
            found += told(f"groups: {len(prior)} classes, {groups} x {usual}, alike {alike}", shares)
    return found


def weighted(rng, version):
    """Coverage of the 95 % intervals of precision, recall and F1 as means weighted by class, rows in groups."""
    found = []
    for prior, right, _, _ in MODELS[:4]:
        cells = np.round(confusion_of(prior, right) * 10**12).astype(np.int64)
        each = [scores(cells, place) for place in range(len(prior))]
        truth = {name: sum(share * one[name] for share, one in zip(prior, each, strict=True)) for name in RATIOS}
        for groups, usual, alike in GROUPS:
            hits = {name: [] for name in RATIOS}
            for _ in range(DETAILED):
                actual, call, of_row = drawn(rng, prior, right, (groups, usual, alike))
                called = Called(actual, call, np.zeros((len(actual), len(prior))), of_row.tolist(), version)
                ends = detail(called, None, [str(place) for place in range(len(prior))], None)["weighted"]["intervals"]
                for name in RATIOS:
                    hits[name].append(inside(ends[name], truth[name]))
            found += told(f"weighted: {len(prior)} classes, {groups} x {usual}, alike {alike}", rates(hits))
    print(f"weighted: {summed_up(found, DETAILED)}")


def grouped(rng, prior, right, positive, setting, kind, version):
    truth, call, of_row = drawn(rng, prior, right, setting, kind)
    effects = design_effects(truth, call, of_row, len(prior), positive, version)
    return count_confusion(truth, call, len(prior)), effects


def drawn(rng, prior, right, setting, kind="whole"):
    """Truth, call and group of each row: groups of one class each, or (`several`) each with classes in shares of its own."""
    groups, usual, alike = setting
    if kind == "unequal":
        sizes = np.maximum(1, np.round(usual * rng.lognormal(-0.5, 1.0, groups))).astype(int)
    else:
        sizes = 1 + rng.poisson(usual - 1, groups)
    of_row = np.repeat(np.arange(groups), sizes)
    if kind == "several":
        shares = rng.dirichlet(3 * np.array(prior), groups)[of_row].cumsum(axis=1)
        truth = (shares < rng.random(len(of_row))[:, None]).sum(axis=1).clip(0, len(prior) - 1)
    else:
        truth = rng.choice(len(prior), groups, p=prior)[of_row]
    shared, own = rng.standard_normal(groups)[of_row], rng.standard_normal(len(of_row))
    hit = ndtr(np.sqrt(alike) * shared + np.sqrt(1 - alike) * own) < np.array(right)[truth]
    other = (truth + 1 + rng.integers(0, len(prior) - 1, groups)[of_row]) % len(prior)
    return truth, np.where(hit, truth, other), of_row


def covered(cells, positive, sets):
    truth = scores(np.round(cells * 10**12).astype(np.int64), positive)
    hits = {name: [] for name in SCORES}
    for counts, effects in sets:
        for name, ends in score_intervals(counts, positive, effects).items():
            hits[name].append(inside(ends, truth[name]))
    return rates(hits)


def inside(ends, truth):
    return np.nan if ends is None else float(ends[0] <= truth <= ends[1])


def rates(hits):
    return {name: (float(np.nanmean(found)), float(np.isnan(found).mean())) for name, found in hits.items()}


def told(what, shares):
    words = [f"{name} {share:.3f}" + (f" ({none:.0%} have none)" if none >= 0.005 else "")
             for name, (share, none) in shares.items()]  # fmt: skip
    print(f"  {what}: {', '.join(words)}", flush=True)
    return [share for share, _ in shares.values()]


def summed_up(found, sets=SETS):
    low, high = sum(share < 0.93 for share in found), sum(share > 0.97 for share in found)
    return (f"{len(found)} figures of {sets} sets each: {low} below 93 %, {len(found) - low - high} inside, {high} above 97 %; "
            f"lowest {min(found):.3f}, highest {max(found):.3f}, on average {np.mean(found):.3f}")  # fmt: skip


def pairs(rng):
    """How often one of two equals is called better than the other."""
    for rows, right, alike, classes, seeds in EQUALS:
        said = []
        for _ in range(PAIRS):
            truth, hard = rng.integers(0, classes, rows), rng.standard_normal(rows)
            ours, theirs = (calls(rng, truth, hard, right, alike, classes, seeds) for _ in range(2))
            found = compare_pair(Question("f1", classes, 1 if classes == 2 else None), truth, ours, theirs, draws=1000)
            said.append("undefined" if found is None else found.verdict)
        wrong = (said.count("better") + said.count("worse")) / PAIRS
        better = said.count("better") / PAIRS
        print(f"pairs: {rows} rows, right {right}, alike {alike}, {classes} classes, {seeds} seeds: "
              f"better {better:.3f}, better or worse {wrong:.3f}", flush=True)  # fmt: skip


def grouped_pairs(rng):
    """The same of equals whose rows come in groups: of one class, as hard as each other in part, right together in part."""
    for groups, usual, together, prior, right, alike in GROUPED_EQUALS:
        said, question = [], Question("f1", len(prior), 1 if len(prior) == 2 else None)
        for _ in range(PAIRS):
            of_row = np.repeat(np.arange(groups), 1 + rng.poisson(usual - 1, groups))
            truth = rng.choice(len(prior), groups, p=prior)[of_row]
            hard, *own = (in_groups(rng, of_row, groups, together) for _ in range(3))
            other = (truth + 1 + rng.integers(0, len(prior) - 1, groups)[of_row]) % len(prior)
            each = [np.sqrt(alike) * hard + np.sqrt(1 - alike) * one < ndtri(right) for one in own]
            ours, theirs = (np.where(hit, truth, other)[None, :] for hit in each)
            found = compare_pair(question, truth, ours, theirs, of_row, draws=1000)
            said.append("undefined" if found is None else found.verdict)
        better, worse, undefined = (said.count(word) / PAIRS for word in ("better", "worse", "undefined"))
        print(f"grouped_pairs: {groups} x {usual}, alike {together}, classes {prior}, right {right}, models alike {alike}: "
              f"better {better:.3f}, better or worse {better + worse:.3f}, undefined {undefined:.3f}", flush=True)  # fmt: skip


def in_groups(rng, of_row, groups, together):
    """A normal variable of each row, a part of it common to the rows of a group."""
    return np.sqrt(together) * rng.standard_normal(groups)[of_row] + np.sqrt(1 - together) * rng.standard_normal(
        len(of_row)
    )


def calls(rng, truth, hard, right, alike, classes, seeds):
    """Called classes (seeds, rows): half of what is not common to all models is common to the seeds of one."""
    own = rng.standard_normal(len(truth))
    each = rng.standard_normal((seeds, len(truth)))
    own = own if seeds == 1 else np.sqrt(0.5) * own + np.sqrt(0.5) * each
    hit = np.atleast_2d(np.sqrt(alike) * hard + np.sqrt(1 - alike) * own) < ndtri(right)
    other = (truth + 1 + rng.integers(0, classes - 1, len(truth))) % classes
    return np.where(hit, truth, other)


def band(rng):
    """How often the band holds the whole curve, of 1 to N trials and all parts of a trial between."""
    for count in (8, 48, 200):
        low, high = level_band(count)
        draws = np.sort(rng.random((SETS, count)), axis=1)
        levels = 0.5 ** (1 / np.geomspace(1, count, 4000))  # the true curve of uniform scores
        below = np.hstack([np.zeros((SETS, 1)), draws])[:, np.searchsorted(high, levels, side="left")]
        above = np.hstack([draws, np.ones((SETS, 1))])[:, np.searchsorted(low, levels, side="right")]
        whole = ((below <= levels) & (levels <= above)).all(axis=1).mean()
        truth = 0.5 ** (1 / np.arange(1, count + 1))
        curves = [tuning_curve(one.tolist()) for one in draws]
        numbers = np.mean([np.all((one.low <= truth) & (truth <= one.high)) for one in curves])
        print(
            f"band: {count} trials: the whole curve {whole:.3f}, at whole numbers of trials {numbers:.3f}", flush=True
        )


def optimism(rng):
    """Coverage of the interval of validation minus test."""
    for prior, right, positive, rows in MODELS[:4]:
        cells = confusion_of(prior, right)
        both = rng.multinomial(rows, cells.ravel(), size=(SETS, 2)).reshape(SETS, 2, *cells.shape)
        hits = []
        for one, other in both:
            found = [
                (scores(counts, positive)["f1"], score_intervals(counts, positive)["f1"]) for counts in (one, other)
            ]
            if all(ends is not None for _, ends in found):
                low, high = difference_interval(*found[0], *found[1])
                hits.append(low <= 0 <= high)
        print(f"optimism: {len(prior)} classes, {rows} rows each: {np.mean(hits):.3f}", flush=True)


def pipelines(rng):
    """Labels that have nothing to do with the features: how often the final F1 lies where chance puts it."""
    inside, started = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PIPELINES):
            root = Path(folder) / str(number)
            rows = 240
            table = pd.DataFrame(rng.standard_normal((rows, 4)), columns=list("abcd"))
            table["kind"] = np.where(rng.random(rows) < 0.5, "yes", "no")
            table.insert(0, "who", [f"{number}-{row}" for row in range(rows)])
            project = SmallProject.made(root, table, NOISE.format(seed=number))
            project.report(project.run(project.plan("random")))
            final = compare(project.paths, Compare(), clock=lambda: 0.0).test(anyway=True)
            inside.append(at_chance(final.result["test"]))
            shutil.rmtree(root)
            if len(inside) % 20 == 0:
                print(
                    f"  pipelines: {sum(inside)} of {len(inside)} so far ({time.monotonic() - started:.0f} s)",
                    flush=True,
                )
    print(f"pipelines: {np.mean(inside):.3f} of {PIPELINES} have their F1 in the chance interval "
          f"({time.monotonic() - started:.0f} s)")  # fmt: skip


def at_chance(test):
    """Whether the hits are inside the central 95 % of what drawing as many rows at random would hit."""
    cells = np.array(test["confusion_matrix"])
    place = test["labels"].index(test["positive"])
    chance = hypergeom(cells.sum(), cells[place].sum(), cells[:, place].sum())
    return bool(chance.ppf(0.025) <= cells[place, place] <= chance.ppf(0.975))


IN_GROUPS = {"intervals": intervals, "unequal": unequal, "several_classes": several_classes, "weighted": weighted}
PARTS = {
    **IN_GROUPS, "pairs": pairs, "grouped_pairs": grouped_pairs, "band": band, "optimism": optimism,
    "pipelines": pipelines,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all if left out")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--version", type=int, default=VERSION, choices=range(1, VERSION + 1))
    given = parser.parse_args()
    for name in given.parts or list(PARTS):
        rng = np.random.default_rng(given.seed)
        if name in IN_GROUPS:
            IN_GROUPS[name](rng, given.version)
        else:
            PARTS[name](rng)


if __name__ == "__main__":
    main()
