"""Do the 95 % intervals cover the truth in 93 to 97 % of simulated test sets, and are they sane at the edges?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from tracker.confusion import count_confusion, wilson
from tracker.design_effects import SIZES, clusters_of_classes, design_effects, t_factor, unequal_factor
from tracker.metrics import METRICS, SCORES, score_intervals, scores

SETS = 2000
BY_VERSION_1 = {
    "accuracy": 1.3279627640529899,
    "balanced_accuracy": 1.2218161983987972,
    "precision": 1.2218161983987972,
    "recall": 1.2218161983987972,
    "f1": 1.2212589436081245,
}
BY_VERSION_2 = {
    "accuracy": 1.2934692632771319,
    "balanced_accuracy": 1.8446124443635112,
    "precision": 1.530728616684266,
    "recall": 1.530728616684266,
    "f1": 1.469857681908667,
}


def population(prior: list[float], right: list[float], seed: int) -> np.ndarray:
    """Probability of each cell (classes, classes) for a model that is right on a share of each class."""
    rng = np.random.default_rng(seed)
    cells = np.zeros((len(prior), len(prior)))
    for c, share in enumerate(right):
        others = [i for i in range(len(prior)) if i != c]
        cells[c, c], cells[c, others] = share, (1 - share) * rng.dirichlet(np.full(len(others), 2.0))
    return cells * np.array(prior)[:, None]


@pytest.mark.parametrize(
    ("prior", "right", "positive", "rows"),
    [
        ([0.63, 0.37], [0.97, 0.94], 1, 114),
        ([0.5, 0.5], [0.8, 0.7], 1, 100),
        ([0.9, 0.1], [0.97, 0.7], 1, 200),
        ([0.63, 0.37], [0.97, 0.94], None, 114),
        ([0.33, 0.4, 0.27], [0.8, 0.7, 0.9], None, 100),
        ([0.1] * 10, [0.95] * 10, None, 360),
    ],
)
def test_intervals_cover_the_truth(prior, right, positive, rows):
    """Over 2,000 simulated test sets the 95 % intervals of all scores cover the truth in 93 to 97 % (binary).

    Means over classes, whose method is approximate, and small counts are allowed 92 to 97.5 %.
    """
    cells, names = population(prior, right, 7), (*SCORES, "fbeta_2", "fbeta_0.5")
    truth = scores(np.round(cells * 10**12).astype(np.int64), positive, names)
    covered = {name: [] for name in names}
    for counts in np.random.default_rng(11).multinomial(rows, cells.ravel(), size=SETS):
        for name, ends in score_intervals(counts.reshape(cells.shape), positive, names=names).items():
            if ends is not None:
                covered[name].append(ends[0] <= truth[name] <= ends[1])
    shares = {name: sum(hits) / len(hits) for name, hits in covered.items()}
    assert 0.93 <= shares["f1"] <= 0.97
    assert all(0.92 <= share <= 0.975 for share in shares.values()), shares


@given(st.lists(st.integers(0, 40), min_size=9, max_size=9), st.sampled_from([None, 0, 2]))
@settings(max_examples=300, deadline=None)
def test_an_interval_holds_its_score_and_is_none_where_that_is(cells, positive):
    """Every interval lies in [0, 1] around its score; an undefined score has none."""
    counts = np.array(cells, dtype=np.int64).reshape(3, 3)
    names = (*SCORES, "fbeta_2", "fbeta_0.1")
    values, ends = scores(counts, positive, names), score_intervals(counts, positive, names=names)
    assert [value is None for value in values.values()] == [ends[name] is None for name in values]
    for name, value in values.items():
        if value is not None:
            low, high = ends[name]
            assert 0.0 <= low <= value + 1e-12
            assert value - 1e-12 <= high <= 1.0
            assert math.isfinite(low + high)
            assert low < high


def test_wilson_is_the_published_interval():
    """Newcombe (1998), table I: 81/263 gives 0.2553 to 0.3662, 0/20 gives 0 to 0.1611."""
    assert [round(end, 4) for end in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(end, 4) for end in wilson(0, 20)] == [0.0, 0.1611]
    assert wilson(0, 0) is None


def test_perfect_scores_still_leave_room_below():
    """A test set without a mistake gives an upper end of 1 and a lower end that depends on its size."""
    small, large = (score_intervals(np.diag([n, n, n]), None)["f1"] for n in (5, 500))
    assert (small[1], large[1]) == (1.0, 1.0)
    assert small[0] < 0.9 < large[0] < 1.0


def grouped_rows(rng, prior, right, sizes, alike):
    """Truth and prediction of the rows of groups: each group has one class, `alike` of 1 lets it be right or wrong whole.

    Of a smaller `alike`, groups share a part of what decides whether a row is right (a normal latent variable).
    """
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    truth = rng.choice(len(prior), len(sizes), p=prior)[of_row]
    shared, own = rng.standard_normal(len(sizes))[of_row], rng.standard_normal(len(of_row))
    hit = ndtr(np.sqrt(alike) * shared + np.sqrt(1 - alike) * own) < np.array(right)[truth]
    other = (truth + 1 + rng.integers(0, len(prior) - 1, len(sizes))[of_row]) % len(prior)
    return truth, np.where(hit, truth, other), of_row


def unequal_sizes(rng, usual, groups):
    """Lognormal sizes of groups: the largest of 40 has as many rows as about six usual ones."""
    return np.maximum(1, np.round(usual * rng.lognormal(-0.5, 1.0, groups))).astype(int)


@pytest.mark.parametrize(
    ("prior", "right", "positive", "groups", "usual", "alike"),
    [
        ([0.6, 0.4], [0.9, 0.8], 1, 30, 4, 1.0),
        ([0.6, 0.4], [0.9, 0.8], 1, 100, 5, 0.3),
        ([0.6, 0.4], [0.97, 0.94], 1, 40, 30, 1.0),
        ([0.33, 0.4, 0.27], [0.8, 0.7, 0.9], None, 60, 6, 0.4),
        ([0.33, 0.4, 0.27], [0.8, 0.7, 0.9], None, 40, -30, 1.0),
        ([0.5, 0.5], [0.8, 0.7], 1, 40, -30, 1.0),
    ],
    ids=["copies", "groups", "many copies", "three classes", "three classes, unequal", "unequal"],
)
def test_intervals_over_groups_cover_the_truth(prior, right, positive, groups, usual, alike):
    """Over 2,000 simulated test sets of groups, intervals that count groups cover the truth in 93 to 97 % (F1, binary).

    All other scores are allowed 92 to 97.5 %. Intervals that count rows cover it in fewer than 90 %: the groups matter. Where
    `usual` is negative a few groups have most rows: their sizes are lognormal.
    """
    cells = np.diag(prior) @ (
        np.diag(right) + (1 - np.array(right))[:, None] * (1 - np.eye(len(prior))) / (len(prior) - 1)
    )
    truth = scores(np.round(cells * 10**12).astype(np.int64), positive)
    rng = np.random.default_rng(3)
    covered, by_rows = {name: [] for name in SCORES}, []
    for _ in range(SETS):
        sizes = 1 + rng.poisson(usual - 1, groups) if usual > 0 else unequal_sizes(rng, -usual, groups)
        actual, called, of_row = grouped_rows(rng, prior, right, sizes, alike)
        counts = count_confusion(actual, called, len(prior))
        effects = design_effects(actual, called, of_row, len(prior), positive)
        for name, ends in score_intervals(counts, positive, effects).items():
            if ends is not None:
                covered[name].append(ends[0] <= truth[name] <= ends[1])
        if rows := score_intervals(counts, positive)["f1"]:
            by_rows.append(rows[0] <= truth["f1"] <= rows[1])
    shares = {name: sum(hits) / len(hits) for name, hits in covered.items()}
    assert 0.93 <= shares["f1"] <= 0.97, shares
    assert all(0.92 <= share <= 0.975 for share in shares.values()), shares
    assert sum(by_rows) / len(by_rows) < 0.9


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("positive", [None, 1])
def test_rows_that_stand_alone_keep_their_intervals(positive, version):
    """With a design effect of 1 every interval has the bits of the one over rows; copies have that of the rows copied.

    A mean over classes has Student's t since version 2, copies or not: each class is in as many clusters as it has rows.
    """
    rng = np.random.default_rng(2)
    actual, called = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    counts = count_confusion(actual, called, 3)
    plain = score_intervals(counts, positive)
    assert plain == score_intervals(counts, positive, dict.fromkeys(SIZES, 1.0))
    copied = design_effects(
        np.repeat(actual, 5), np.repeat(called, 5), np.repeat(np.arange(90), 5), 3, positive, version
    )
    alone = design_effects(actual, called, np.arange(90), 3, positive, version)
    truths, calls = counts.sum(axis=1), counts.sum(axis=0)
    told = {"balanced_accuracy": truths, "precision": calls, "recall": truths, "f1": truths + calls - counts.diagonal()}
    means = set() if version == 1 else set(told) if positive is None else {"balanced_accuracy"}
    expected = {name: t_factor(told[name].tolist()) if name in means else 1.0 for name in SIZES}
    assert expected == alone
    assert copied == pytest.approx({name: 5 * factor for name, factor in expected.items()})
    for name, ends in score_intervals(5 * counts, positive, copied).items():
        assert name in means or ends == pytest.approx(plain[name])


@pytest.mark.parametrize(
    ("clusters", "freedom", "t"),
    [([2, 2], 4, 2.776445), ([1, 1], 2, 4.302653), ([5, 5, 5, 5], 20, 2.085963), ([3], 3, 3.182446)],
)
def test_a_mean_over_classes_has_students_t(clusters, freedom, t):
    """K classes in n clusters each have K n degrees of freedom: t is the published quantile of so many."""
    assert freedom == len(clusters) * clusters[0]
    assert t_factor(clusters) == pytest.approx((t / 1.959964) ** 2, abs=2e-6)


def test_a_class_of_few_clusters_widens_the_mean():
    """Of two classes the one in fewer clusters decides: 2 and 1,000 have but little more than 2 degrees of freedom."""
    assert t_factor([2, 1000]) == pytest.approx((4.302653 / 1.959964) ** 2, rel=0.01)
    assert 1.0 < t_factor([100_000] * 2) < 1.0001


def test_a_class_without_a_row_has_no_interval_in_groups():
    """Precision and F1 of a class that is called and never there say nothing of it; version 1 gave them an interval."""
    actual, called, of_row = np.array([0, 0, 0, 0]), np.array([0, 1, 1, 0]), [0, 0, 1, 1]
    now, before = (design_effects(actual, called, of_row, 2, 1, version) for version in (2, 1))
    assert {"accuracy"} == {name for name, effect in now.items() if effect is not None}
    assert {"accuracy", "balanced_accuracy", "precision", "f1"} == {name for name in before if before[name] is not None}
    assert all(
        score_intervals(count_confusion(actual, called, 2), 1, now)[name] is None for name in ("precision", "f1")
    )


def test_earlier_versions_are_what_they_were():
    """Effects that an earlier release told come out to the bit."""
    actual, called = np.array([0, 0, 1, 1, 0, 1, 1, 0, 1]), np.array([0, 1, 1, 1, 0, 0, 1, 0, 1])
    assert BY_VERSION_1 == design_effects(actual, called, [0, 0, 1, 1, 2, 2, 3, 3, 3], 2, None, 1)
    assert BY_VERSION_2 == design_effects(actual, called, [0, 0, 1, 1, 2, 2, 3, 3, 3], 2, 1, 2)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([4, 4, 4], 1.0), ([7], 1.0), ([3, 1, 1, 1], (3.182446 / 2.776445) ** 2)],
)
def test_unequal_clusters_count_as_fewer_equal_ones(sizes, expected):
    """Clusters of one size count in full; 3, 1, 1 and 1 rows say as much as 6^2 / (9 + 1 + 1 + 1) = 3 clusters."""
    assert unequal_factor(np.array(sizes)) == pytest.approx(expected, abs=2e-6)


def test_a_few_large_groups_widen_the_interval():
    """Where three of 20 groups have most of the rows they count for less than equal groups do, and less than in version 2."""
    right = np.random.default_rng(6).random(20) < 0.8
    even, uneven = np.repeat(np.arange(20), 10), np.repeat(np.arange(20), [*[3] * 17, 50, 50, 49])

    def effect(of_row, version):
        call = right[of_row].astype(int)
        return design_effects(np.ones(200, int), call, of_row, 2, 1, version)["accuracy"]

    assert effect(uneven, 3) > effect(uneven, 2) > 2 * effect(even, 2) == pytest.approx(2 * effect(even, 3))


def test_precision_of_a_class_of_one_group_has_no_interval():
    """All that is right is of one group, so nothing says how such groups differ; F1 looks at the rows that are missed, too."""
    actual, called, of_row = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 0, 1, 1, 0]), [0, 0, 1, 1, 2, 2]
    now, before = (design_effects(actual, called, of_row, 2, 1, version) for version in (3, 2))
    assert [2, 1] == clusters_of_classes(actual, of_row, 2)
    assert {"accuracy", "balanced_accuracy", "f1"} == {name for name, effect in now.items() if effect is not None}
    assert {"recall"} == {name for name, effect in before.items() if effect is None}


def test_groups_that_know_nothing_of_each_other_count_as_rows():
    """Where rows of a group are no more alike than others, the design effect is near 1; where they are, near their number."""
    rng = np.random.default_rng(4)
    of_row = np.repeat(np.arange(300), 4)
    actual, called = rng.integers(0, 2, 1200), rng.integers(0, 2, 1200)
    assert design_effects(actual, called, of_row, 2, 1)["accuracy"] < 1.2
    assert 3.9 < design_effects(actual[of_row], called[of_row], of_row, 2, 1)["accuracy"] <= 4.0 + 1e-9


def test_rows_of_one_group_have_no_interval():
    """A score that rests on one group has no interval: nothing says how groups differ. The others have theirs."""
    actual, called = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 0, 0, 1, 0])
    effects = design_effects(actual, called, [0, 0, 1, 1, 2, 2], 2, 1)
    assert (None, True) == (effects["recall"], effects["accuracy"] >= 1.0)
    assert score_intervals(count_confusion(actual, called, 2), 1, effects)["recall"] is None


def test_every_score_with_an_interval_has_a_design_effect():
    """A metric of the confusion matrix that gets an interval says here how it depends on single rows."""
    assert list(SIZES) == [m.name for m in METRICS.values() if m.needs == "confusion" and m.interval]
