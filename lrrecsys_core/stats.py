"""The tests behind the verdicts: bootstrap in clusters of users, paired t by market, Holm, trends and equivalence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

DRAWS: Final = 2000
LEVEL: Final = 0.95
# An effect could have been found if a one-sided test at this level finds it with this probability.
POWER_LEVEL: Final = 0.05
POWER: Final = 0.8
# Weights of one chunk of draws: small enough for the processor's cache, which doubles the speed.
_CHUNK_ELEMENTS: Final = 300_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An effect with its 95% interval; ``df`` is infinite where the normal distribution is used.

    Attributes
    ----------
    effect, se, low, high : float
        In one unit, that of the effect.
    df : float
    test : str
        Name of the procedure.
    n : int
        Number of markets, or of clusters (users).
    """

    effect: float
    se: float
    low: float
    high: float
    df: float
    test: str
    n: int

    def smallest(self, level: float = POWER_LEVEL) -> float:
        """The smallest true effect that the one-sided test at that level could have found, in the effect's unit.

        Counted from the value tested against; exact for the t-test, as far as the markets' spread is known.
        """
        return self.se * detectable(self.df, level) if np.isfinite(self.se) else float("nan")

    def p_greater(self, than: float = 0.0) -> float:
        """One-sided p-value for "the effect is greater than ``than``"."""
        return _tail(self.effect - than, self.se, self.df)

    def p_less(self, than: float = 0.0) -> float:
        """One-sided p-value for "the effect is less than ``than``"."""
        return _tail(than - self.effect, self.se, self.df)

    def p_within(self, margin: float) -> float:
        """Equivalence, two one-sided tests (Schuirmann 1987): p-value for "the effect lies inside +-``margin``"."""
        return max(self.p_greater(-margin), self.p_less(margin))

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between ``low`` and ``high``."""
        return bool(low < self.low and self.high < high)


@cache
def detectable(df: float, level: float = POWER_LEVEL) -> float:
    """Smallest true effect, in standard errors, that a one-sided t-test finds: the noncentrality at that power."""
    if not np.isfinite(df):
        return float(scipy.stats.norm.ppf(1 - level) + scipy.stats.norm.ppf(POWER))
    critical = float(scipy.stats.t.ppf(1 - level, df))
    return float(
        scipy.optimize.brentq(lambda shift: scipy.stats.nct.sf(critical, df, shift) - POWER, 0.0, 2.0 * critical)
    )


def _tail(distance: float, se: float, df: float) -> float:
    if not np.isfinite(distance) or not np.isfinite(se):
        return float("nan")
    if se == 0.0:
        return 1.0 if distance <= 0 else 0.0
    return float(scipy.stats.t.sf(distance / se, df) if np.isfinite(df) else scipy.stats.norm.sf(distance / se))


def paired_t(differences: ArrayLike) -> Estimate:
    """Mean of paired differences, one per market, with the t interval.

    Parameters
    ----------
    differences : array, shape (R,)
        R independent markets; with fewer than two the interval is NaN.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.size
    effect = float(values.mean()) if n else float("nan")
    if n < 2 or not np.isfinite(values).all():
        return Estimate(effect, np.nan, np.nan, np.nan, np.nan, "paired t by market", n)
    se = float(values.std(ddof=1) / np.sqrt(n))
    half = float(scipy.stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * se
    return Estimate(effect, se, effect - half, effect + half, float(n - 1), "paired t by market", n)


def trend(values: ArrayLike, dose: ArrayLike) -> Estimate:
    """Least-squares slope of each market's values on the dose, then the mean slope with its t interval.

    Parameters
    ----------
    values : array, shape (R, K)
        R markets, each measured at K doses.
    dose : array, shape (K,)
    """
    doses = np.asarray(dose, dtype=np.float64)
    centred = doses - doses.mean()
    return paired_t(np.asarray(values, dtype=np.float64) @ centred / (centred @ centred))


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of ``y`` on ``x``; NaN when ``x`` does not vary."""
    values = np.asarray(x, dtype=np.float64)
    centred = values - values.mean()
    spread = float(centred @ centred)
    return float(centred @ np.asarray(y, dtype=np.float64) / spread) if spread > 0 else float("nan")


def clustered_slope(x: ArrayLike, y: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Least-squares slope of ``y`` on ``x`` with errors clustered by user.

    Parameters
    ----------
    x, y, clusters : array, shape (N,)
    """
    # statsmodels takes a second to import, and only this function needs it.
    from statsmodels.regression.linear_model import OLS

    x_values = np.asarray(x, dtype=np.float64)
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    n = int(codes.max()) + 1 if codes.size else 0
    if n < 2 or np.ptp(x_values) == 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan, np.nan, "OLS, errors clustered by user", n)
    design = np.column_stack([np.ones_like(x_values), x_values])
    fit = OLS(np.asarray(y, dtype=np.float64), design).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    low, high = fit.conf_int(alpha=1 - LEVEL)[1]
    return Estimate(
        float(fit.params[1]),
        float(fit.bse[1]),
        float(low),
        float(high),
        float(n - 1),
        "OLS, errors clustered by user",
        n,
    )


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike) -> tuple[float, float, float]:
    """Ratio of two paired means with Fieller's 95% interval.

    Parameters
    ----------
    numerator, denominator : array, shape (R,)
        Paired by market.

    Returns
    -------
    ratio, low, high : float
        The interval is infinite when the denominator's mean does not differ from 0.
    """
    a, b = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    n = a.size
    if n < 2:
        return float("nan"), float("nan"), float("nan")
    mean_a, mean_b = float(a.mean()), float(b.mean())
    t2 = float(scipy.stats.t.ppf(0.5 + LEVEL / 2, n - 1)) ** 2
    (var_a, cov), (_, var_b) = np.cov(a, b) / n
    quadratic = mean_b**2 - t2 * var_b
    ratio = mean_a / mean_b if mean_b else float("nan")
    if quadratic <= 0:
        return ratio, float("-inf"), float("inf")
    linear, constant = mean_a * mean_b - t2 * cov, mean_a**2 - t2 * var_a
    half = float(np.sqrt(max(linear**2 - quadratic * constant, 0.0)))
    return ratio, float((linear - half) / quadratic), float((linear + half) / quadratic)


def holm(p_values: Sequence[float]) -> Floats:
    """Holm's step-down correction (Holm 1979); NaN entries are no tests and stay NaN."""
    raw = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(raw.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(raw[order] * factors), 1.0)
    return corrected


def holm_levels(p_values: Sequence[float], level: float) -> Floats:
    """The level at which Holm's procedure compares each p-value: ``level`` over the hypotheses left at its rank."""
    raw = np.asarray(p_values, dtype=np.float64)
    left = np.array([np.sum(raw >= p) for p in raw], dtype=np.float64)
    return np.where(np.isnan(raw), level, level / np.maximum(left, 1.0))


def cohens_d(first: ArrayLike, second: ArrayLike) -> float:
    """Difference of two means in pooled standard deviations (Cohen 1988)."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.size < 2 or b.size < 2:
        return float("nan")
    pooled = np.sqrt(((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / (a.size + b.size - 2))
    return float((a.mean() - b.mean()) / pooled) if pooled > 0 else float("nan")


class UserBootstrap:
    """Resamples whole users; every statistic sees the same draws, so that differences of statistics are paired.

    Parameters
    ----------
    users : array, shape (N,)
        User of each record.
    draws : int
    seed : int
    """

    def __init__(self, users: ArrayLike, draws: int = DRAWS, seed: int = 0) -> None:
        names, self._user = np.unique(np.asarray(users), return_inverse=True)
        self.n_users = int(names.size)
        self.draws = draws
        self.seed = seed

    def _counts(self) -> Iterator[tuple[slice, Floats]]:
        size = max(1, _CHUNK_ELEMENTS // max(self._user.size, 1))
        generator = np.random.default_rng(self.seed)
        for start in range(0, self.draws, size):
            stop = min(start + size, self.draws)
            drawn = generator.integers(self.n_users, size=(stop - start, self.n_users))
            drawn += np.arange(stop - start)[:, None] * self.n_users
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            yield slice(start, stop), counts.astype(np.float64)

    def sums(self, *columns: ArrayLike) -> Floats:
        """Sum of each column over the resampled records, shape (draws, number of columns)."""
        values = [np.asarray(column, dtype=np.float64) for column in columns]
        per_user = np.column_stack([np.bincount(self._user, v, minlength=self.n_users) for v in values])
        out = np.empty((self.draws, len(values)))
        for part, counts in self._counts():
            out[part] = counts @ per_user
        return out

    def mean(self, values: ArrayLike) -> Floats:
        """Mean over the resampled records, shape (draws,)."""
        total, count = self.sums(values, np.ones(self._user.size)).T
        return np.asarray(total / count)

    def rmse(self, prediction: ArrayLike, target: ArrayLike) -> Floats:
        """RMSE of each draw, shape (draws,)."""
        return np.sqrt(self.mean((np.asarray(prediction) - np.asarray(target)) ** 2))

    def mae(self, prediction: ArrayLike, target: ArrayLike) -> Floats:
        """MAE of each draw, shape (draws,)."""
        return self.mean(np.abs(np.asarray(prediction) - np.asarray(target)))

    def slope(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Least-squares slope of ``y`` on ``x`` in each draw, shape (draws,)."""
        a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        # Centring first keeps the sums of products free of cancellation.
        a, b = a - a.mean(), b - b.mean()
        n, sum_a, sum_b, sum_aa, sum_ab = self.sums(np.ones(a.size), a, b, a * a, a * b).T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((sum_ab - sum_a * sum_b / n) / (sum_aa - sum_a**2 / n))

    def auc(self, score: ArrayLike, liked: ArrayLike) -> Floats:
        """AUC of each draw (ties count half), shape (draws,)."""
        scores, positive = np.asarray(score, dtype=np.float64), np.asarray(liked, dtype=bool)
        order = np.argsort(scores[~positive], kind="stable")
        below, above = self._user[~positive][order], self._user[positive]
        # Of each liked record: how many others it outranks, and how many it outranks or equals.
        first, last = (np.searchsorted(scores[~positive][order], scores[positive], side) for side in ("left", "right"))
        out = np.empty(self.draws)
        for part, counts in self._counts():
            by_user = np.ascontiguousarray(counts.T)  # a record's draws side by side, which is how they are gathered
            outranked = np.cumsum(np.concatenate([np.zeros((1, by_user.shape[1])), by_user[below]]), axis=0)
            weight = by_user[above]
            pairs = np.sum(weight * (outranked[first] + outranked[last]), axis=0) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                out[part] = pairs / (weight.sum(axis=0) * outranked[-1])
        return out

    def estimate(self, effect: float, draws: ArrayLike) -> Estimate:
        """Percentile interval of ``draws`` around ``effect``; the standard error is that of the draws."""
        values = np.asarray(draws, dtype=np.float64)
        values = values[np.isfinite(values)]
        name = f"bootstrap by user, {self.draws:,} draws"
        if values.size < 2 or self.n_users < 2:
            return Estimate(float(effect), np.nan, np.nan, np.nan, np.inf, name, self.n_users)
        low, high = np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
        return Estimate(float(effect), float(values.std(ddof=1)), float(low), float(high), np.inf, name, self.n_users)
