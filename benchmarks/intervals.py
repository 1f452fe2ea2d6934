"""How often a pilot of exactly the target is MET, and how often an interval misses the truth: the tables behind the
limits in `pilot.workbench.stats.estimates` and `pilot.workbench.evaluation`.

    uv run python benchmarks/intervals.py [--pilots 2000]

A figure that the report calls too few gives no verdict, so it can be neither: `decides` is the share of pilots for
which it is enough. Errors are shares of all pilots.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from math import exp

import numpy as np
from numpy.typing import NDArray
from pilot.workbench.evaluation import CENSORED, POCOCK, STRICT, UNPLANNED
from pilot.workbench.stats import comparisons, estimates, survival
from pilot.workbench.stats.data import TAIL, Estimate

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
VALUES: dict[str, tuple[Draw, float]] = {
    "normal, 5 and 1": (lambda random, n: random.normal(5, 1, n), 5.0),
    "Poisson, 0.5": (lambda random, n: random.poisson(0.5, n).astype(float), 0.5),
    "exponential": (lambda random, n: random.exponential(1, n), 1.0),
    "lognormal, 0.5": (lambda random, n: random.lognormal(0, 0.5, n), exp(0.125)),
    "lognormal, 0.8": (lambda random, n: random.lognormal(0, 0.8, n), exp(0.32)),
    "lognormal, 1.2": (lambda random, n: random.lognormal(0, 1.2, n), exp(0.72)),
    "lognormal, 1.5": (lambda random, n: random.lognormal(0, 1.5, n), exp(1.125)),
}


def tally(pilots: int, truth: float, figures: Iterator[tuple[Estimate, Estimate]], up: bool) -> str:
    """The row of a table, from the estimate of each pilot and the stricter one that MET needs."""
    decides = wrong = met = missed = 0
    for found, proof in figures:
        if found.too_few is None and found.low is not None and found.high is not None:
            decides += 1
            wrong += not found.low <= truth <= found.high
            good = proof.low is not None and proof.low > truth if up else proof.high is not None and proof.high < truth
            met += good
            missed += found.high < truth if up else found.low > truth
    return f"{decides / pilots:8.3f} {wrong / pilots:8.3f} {met / pilots:8.4f} {missed / pilots:8.4f}"


def means(pilots: int) -> None:
    print("\nMeans of n independent values; less is better\n" + f"{'':24}  decides   misses      MET   MISSED")
    for name, (draw, truth) in VALUES.items():
        for n in (30, 50, 100, 300, 1_000):
            random = np.random.default_rng(n)
            made = (draw(random, n) for _ in range(pilots))
            figures = ((estimates.mean(one), estimates.mean(one, tail=STRICT * TAIL)) for one in made)
            print(f"{name:16} n {n:5}  {tally(pilots, truth, figures, up=False)}")


def shares(pilots: int) -> None:
    print("\nShares of items in groups\n" + f"{'':34}  decides   misses      MET   MISSED")
    for share in (0.7, 0.85, 0.95):
        for alike in (0.05, 0.2, 0.5):
            for groups, each in ((10, 10), (10, 40), (20, 10), (50, 10), (100, 10)):
                random = np.random.default_rng(groups)
                names = np.repeat(np.arange(groups), each)
                strength = (1 - alike) / alike
                rates = (random.beta(share * strength, (1 - share) * strength, groups) for _ in range(pilots))
                made = ((random.random((groups, each)) < rate[:, None]).ravel() for rate in rates)
                figures = ((estimates.share(one, names), estimates.share(one, names, STRICT * TAIL)) for one in made)
                row = tally(pilots, share, figures, up=True)
                print(f"{share:4} correlation {alike:4} {groups:4} of {each:2}  {row}")


def open_items(pilots: int) -> None:
    print("\nMean times while items are open\n" + f"{'':36}  decides   misses      MET   MISSED")
    for sigma, days in ((0.5, 12), (0.8, 12), (0.8, 20), (1.2, 20), (1.2, 40)):
        for n in (60, 150, 300):
            random, still_open = np.random.default_rng(n), []

            def figures(
                sigma: float = sigma, days: float = days, n: int = n, random: np.random.Generator = random
            ) -> Iterator[tuple[Estimate, Estimate]]:
                for _ in range(pilots):
                    times, ages = random.lognormal(0, sigma, n), random.uniform(0, days, n)
                    done, seen = times <= ages, np.minimum(times, ages)
                    still_open.append(1 - done.mean())  # noqa: B023
                    if done[seen.argmax()]:
                        found, proof = (
                            survival.restricted_mean(seen, done, seen.max(), None, part * TAIL)
                            for part in (1.0, CENSORED)
                        )
                        yield found, proof

            row = tally(pilots, exp(sigma**2 / 2), figures(), up=False)
            print(f"lognormal, {sigma}  n {n:3}  {np.mean(still_open):6.1%} open  {row}")


def differences(pilots: int) -> None:
    print("\nDifferences of means, Welch: how often the interval misses\n")
    for name, (draw, _) in VALUES.items():
        for n, m in ((50, 50), (100, 60), (300, 100)):
            random, wrong = np.random.default_rng(n), 0
            for _ in range(pilots):
                found = comparisons.independent_means(draw(random, n), draw(random, m))
                wrong += found.low is None or found.high is None or not found.low <= 0 <= found.high
            print(f"{name:16} {n:4} and {m:4}  {wrong / pilots:6.3f}")


def looks(pilots: int) -> None:
    print("\nShares of 300 items, and 150 more after an extension: MET at either look\n")
    for name, tails in {
        "one look": (TAIL, 0.0),
        "an unplanned second look": (TAIL, UNPLANNED),
        "two planned looks": (POCOCK, POCOCK),
        "two looks, each as if alone": (TAIL, TAIL),
    }.items():
        for target in (0.7, 0.8, 0.9):
            random = np.random.default_rng(7)
            first, more = random.binomial(300, target, pilots), random.binomial(150, target, pilots)
            met = 0
            for one, two in zip(first.tolist(), more.tolist(), strict=True):
                looked = ((one, 300, tails[0]), (one + two, 450, tails[1]))
                met += any(tail and (estimates.wilson(k, n, tail)[0] or 0) >= target for k, n, tail in looked)
            print(f"{name:28} target {target}  {met / pilots:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pilots", type=int, default=2_000)
    asked = parser.parse_args().pilots
    for table in (means, shares, open_items, differences):
        table(asked)
    looks(20 * asked)
