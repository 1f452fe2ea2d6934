"""Agreement of the AI and people, against published tables."""

from __future__ import annotations

from collections import Counter
from math import isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pilot.workbench.stats import agreement as a
from pilot.workbench.stats.estimates import wilson

labels = st.sampled_from(["a", "b", "c"])
pairs = st.lists(st.tuples(labels, labels), max_size=60)


def of(ai: list[str], human: list[str]) -> a.Agreement:
    return a.agreement(Counter(zip(ai, human, strict=True)))


def of_table(table: list[list[int]], names: str = "abcdefgh") -> a.Agreement:
    cells = [(names[i], names[j]) for i, line in enumerate(table) for j, count in enumerate(line) for _ in range(count)]
    return of([ai for ai, _ in cells], [human for _, human in cells])


def test_kappa_and_its_interval_are_those_of_sas() -> None:
    # PROC FREQ on this table, as statsmodels keeps it in its own tests: 0.4842 (0.2137 to 0.7547).
    found = of_table([[0, 4, 1], [0, 8, 0], [0, 1, 5]])
    low, high = found.kappa_interval
    assert (found.kappa, low, high) == (
        pytest.approx(0.4842, abs=5e-5),
        pytest.approx(0.2137, abs=5e-5),
        pytest.approx(0.7547, abs=5e-5),
    )


def test_the_paradox_of_feinstein_and_cicchetti_needs_the_share_and_pabak_beside_kappa() -> None:
    # Feinstein and Cicchetti (1990): both agree on 85 of 100, and kappa is 0.70 and 0.32.
    even, lopsided = of_table([[40, 9], [6, 45]]), of_table([[80, 10], [5, 5]])
    assert (f"{even.kappa:.2f}", f"{lopsided.kappa:.2f}") == ("0.70", "0.32")
    assert even.share == lopsided.share == 0.85
    assert even.pabak == lopsided.pabak == pytest.approx(0.70)
    assert str(lopsided) == (
        "85 of 100 items have the same label: 0.85 (0.77 to 0.91); Cohen's kappa 0.32 (0.06 to 0.58), PABAK 0.70."
    )


def test_the_direction_is_that_of_agresti() -> None:
    # Agresti, approval of the prime minister: [[794, 150], [86, 570]].
    found = of_table([[794, 150], [86, 570]])
    assert found.interval == wilson(1364, 1600)
    assert found.direction is not None
    assert (found.direction.ai_first, found.direction.human_first) == (150, 86)
    assert found.direction.statistic == pytest.approx(17.3559, abs=5e-5)
    assert found.direction.p == pytest.approx(2 * _binomial_tail(86, 236))
    assert found.direction.one_sided is True
    assert "AI 'a' and person 'b' 150 times, the reverse 86 times: to one side" in str(found.direction)


def _binomial_tail(most: int, trials: int) -> float:
    from math import comb

    return sum(comb(trials, k) for k in range(most + 1)) / 2**trials


def test_even_disagreement_shows_no_side() -> None:
    found = of_table([[10, 6], [5, 10]]).direction
    assert found is not None
    assert found.one_sided is False
    assert found.p == 1.0


def test_the_table_and_the_ranked_confusions() -> None:
    found = of_table([[5, 1, 0], [4, 7, 2], [0, 2, 3]])
    assert found.labels == ("a", "b", "c")
    assert found.table == ((5, 1, 0), (4, 7, 2), (0, 2, 3))
    assert found.direction is None
    assert [(line.ai, line.human, line.items) for line in found.confusions] == [
        ("b", "a", 4),
        ("b", "c", 2),
        ("c", "b", 2),
        ("a", "b", 1),
    ]
    one = a.direction_of(found, "a", "b")
    assert (one.ai_first, one.human_first) == (1, 4)
    assert a.direction_of(found, "a", "c").p is None
    assert "never confused" in str(a.direction_of(found, "a", "c"))
    with pytest.raises(ValueError, match="itself"):
        a.direction_of(found, "a", "a")


@pytest.mark.filterwarnings("error")
@given(pairs, st.randoms(use_true_random=False))
def test_whatever_the_labels_nothing_is_nan_and_the_order_changes_nothing(
    found: list[tuple[str, str]], random: object
) -> None:
    first = of([one for one, _ in found], [other for _, other in found])
    random.shuffle(found)  # type: ignore[attr-defined]
    ai, human = [one for one, _ in found], [other for _, other in found]
    assert of(ai, human) == first
    assert first.agreeing + sum(line.items for line in first.confusions) == first.items == len(found)
    figures = [first.share, first.kappa, first.pabak, *first.interval, *first.kappa_interval]
    assert all(figure is None or (isfinite(figure) and -1 <= figure <= 1) for figure in figures)
    if len(first.labels) > 1:
        assert first.kappa == pytest.approx(cohen_kappa_score(ai, human))
    else:
        assert first.kappa is None
    assert np.asarray(first.table).sum() == len(found)


@given(pairs)
def test_swapping_the_two_mirrors_the_confusions_and_keeps_the_rest(found: list[tuple[str, str]]) -> None:
    ai, human = [one for one, _ in found], [other for _, other in found]
    here, there = of(ai, human), of(human, ai)
    assert (here.share, here.pabak) == (there.share, there.pabak)
    assert {(line.ai, line.human, line.items) for line in here.confusions} == {
        (line.human, line.ai, line.items) for line in there.confusions
    }
    if here.direction is not None and there.direction is not None:
        assert here.direction.p == there.direction.p
        assert here.direction.ai_first == there.direction.human_first


def test_nothing_one_item_all_right_and_all_wrong() -> None:
    nothing = of([], [])
    assert (nothing.share, nothing.kappa, nothing.pabak, nothing.labels) == (None, None, None, ())
    assert "No item" in str(nothing)
    one = of(["a"], ["a"])
    assert (one.share, one.kappa, one.kappa_interval, one.pabak) == (1, None, (None, None), 1)
    assert "kappa not defined" in str(one)
    right = of_table([[5, 0], [0, 5]])
    assert (right.share, right.kappa, right.kappa_interval) == (1, 1, (None, None))
    assert right.interval == wilson(10, 10)
    assert of_table([[7, 0, 0], [0, 11, 0], [0, 0, 3]]).kappa_interval == (None, None)
    wrong = of(["a"] * 9, ["b"] * 9)
    assert (wrong.share, wrong.kappa, wrong.pabak, wrong.kappa_interval) == (0, 0, -1, (None, None))
    assert wrong.direction is not None
    assert wrong.direction.one_sided is True


def test_the_most_confused_labels_stay_and_the_others_are_added_up() -> None:
    table = [[9, 0, 0, 0], [0, 5, 3, 0], [0, 1, 7, 1], [2, 0, 0, 4]]
    assert a.most_confused("abcd", table, 2) == (["b", "c", "2 others"], [[5, 3, 0], [1, 7, 1], [0, 0, 15]])
    assert a.most_confused("abcd", table, 3) == (list("abcd"), table)
    assert a.most_confused([], [], 3) == ([], [])


def test_free_texts_have_a_share_and_no_table() -> None:
    texts = [f"text {number}" for number in range(a.MOST_LABELS + 1)]
    found = of(texts, texts)
    assert (found.share, found.kappa, found.table) == (1, None, None)
