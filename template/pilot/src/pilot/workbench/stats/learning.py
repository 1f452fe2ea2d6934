"""Whether more examples have been helping: the last step of a model's learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import Interval


@dataclass(frozen=True)
class Gain:
    """What the accuracy gained from learning on `after` rows in place of `before`: a difference of shares, with its
    95 % interval. `helping` is whether the whole interval is above zero; otherwise no gain is shown, which is not the
    same as showing that there is none."""

    before: int
    after: int
    gain: float
    interval: Interval

    @property
    def helping(self) -> bool:
        return self.interval[0] is not None and self.interval[0] > 0

    def __str__(self) -> str:
        low, high = self.interval
        found = f"from {self.before} to {self.after} rows the accuracy changed by {self.gain:+.3f}"
        found = found if low is None or high is None else f"{found} ({low:+.3f} to {high:+.3f})"
        if self.helping:
            return f"More examples have been helping: {found}."
        return f"It is not shown that more examples have been helping: {found}."


def last_gain(curve: Sequence[tuple[int, float]], judged: int) -> Gain | None:
    """The gain of the last step of a learning curve: pairs of rows learned from and accuracy in [0, 1], in ascending
    rows, each measured on `judged` rows. None where there are fewer than two pairs, as on the card of an old model.

    Source: Newcombe (1998), SiM 17:873, method 10, through statsmodels. It is for independent samples; here the rows
    are the same, which makes the interval wider than it need be, never narrower as long as the two models tend to be
    right on the same rows. Raises ValueError for a curve that is none. Needs the extra `evaluation`.
    """
    rows = [pair[0] for pair in curve]
    if judged < 1 or rows != sorted(set(rows)) or not all(0 <= accuracy <= 1 for _, accuracy in curve):
        raise ValueError("a learning curve has ascending rows, accuracies in [0, 1], and a row or more that was judged")
    if len(curve) < 2:
        return None
    (before, worse), (after, better) = curve[-2:]
    confint = library("statsmodels.stats.proportion").confint_proportions_2indep
    low, high = confint(round(better * judged), judged, round(worse * judged), judged, method="newcomb")
    return Gain(before, after, better - worse, (float(low), float(high)))
