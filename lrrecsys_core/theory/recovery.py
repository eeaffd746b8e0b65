"""Monte Carlo of EILLS: recovery of S* (Lemma 1), one environment (Lemma 2), gamma, baselines, a shift (App 9.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.theory.eills import Fit, Index, Moments, default_penalty, eills_exact, moments
from lrrecsys_core.theory.invariance import icp, least_squares_on
from lrrecsys_core.theory.repetitions import Row, generator
from lrrecsys_core.theory.structural import (
    PUBLISHED_BETA,
    PUBLISHED_SPURIOUS,
    PUBLISHED_SUPPORT,
    Family,
    published_environment,
)

Array = NDArray[np.float64]
# Weights of J: the published one for the published example, a larger one where variables have smaller variances.
PUBLISHED_GAMMA = 20.0
FAMILY_GAMMA = 50.0


def verdict(chosen: Index, important: Index, spurious: Index) -> Row:
    """Exact recovery, screening (nothing important missed) and any spurious variable chosen, each 0 or 1."""
    picked = set(chosen.tolist())
    return {
        "exact": float(picked == set(important.tolist())),
        "screened": float(picked >= set(important.tolist())),
        "spurious": float(bool(picked & set(spurious.tolist()))),
    }


def _eills(data: Moments, gamma: float) -> Fit:
    return eills_exact(data, gamma, default_penalty(data, gamma))


def recovery_repetition(
    family: Family, sizes: tuple[int, ...], environments: tuple[int, ...], total: int, seed: int, repetition: int
) -> list[Row]:
    """EILLS for every number of records per environment and of environments, on nested draws.

    Rows with ``design`` "per environment" have n records in each environment, rows with "same total" share `total`
    records among the environments, and rows with "population" (n = 0) have endless ones: what no n can exceed.
    """
    rng = generator(seed, "recovery", repetition)
    count = max(environments)
    strengths = [family.strengths(rng) for _ in range(count)]
    longest = max(*sizes, *(total // e for e in environments))
    draws = [family.draw(rng, longest, strength) for strength in strengths]
    cells = [("per environment", n, e) for n in sizes for e in environments]
    cells += [("same total", total // e, e) for e in environments]
    rows: list[Row] = []
    for design, n, e in cells:
        fit = _eills(moments([X[:n] for X, _ in draws[:e]], [y[:n] for _, y in draws[:e]]), FAMILY_GAMMA)
        about: Row = {"design": design, "n": n, "environments": e, "repetition": repetition}
        rows.append(about | verdict(fit.support, family.important, family.effects))
    for e in environments:
        fit = _eills(family.population(strengths[:e]), FAMILY_GAMMA)
        about = {"design": "population", "n": 0, "environments": e, "repetition": repetition}
        rows.append(about | verdict(fit.support, family.important, family.effects))
    return rows


def one_environment_repetition(family: Family, sizes: tuple[int, ...], seed: int, repetition: int) -> list[Row]:
    """EILLS from one environment and from eight, the same first environment in both, as n grows (Lemma 2)."""
    rng = generator(seed, "one environment", repetition)
    strengths = [family.strengths(rng) for _ in range(8)]
    draws = [family.draw(rng, max(sizes), strength) for strength in strengths]
    rows: list[Row] = []
    for n in sizes:
        for e in (1, 8):
            fit = _eills(moments([X[:n] for X, _ in draws[:e]], [y[:n] for _, y in draws[:e]]), FAMILY_GAMMA)
            about: Row = {"n": n, "environments": e, "repetition": repetition}
            rows.append(about | verdict(fit.support, family.important, family.effects))
    return rows


def published_repetition(sizes: tuple[int, ...], seed: int, repetition: int) -> list[Row]:
    """Every method on the published two-environment example: squared error of its coefficients, and its support."""
    rng = generator(seed, "published", repetition)
    draws = [published_environment(rng, max(sizes), second) for second in (False, True)]
    everything = np.arange(len(PUBLISHED_BETA))
    rows: list[Row] = []
    for n in sizes:
        data = moments([X[:n] for X, _ in draws], [y[:n] for _, y in draws])
        plain, penalised = eills_exact(data, PUBLISHED_GAMMA), _eills(data, PUBLISHED_GAMMA)
        fits = {
            "EILLS without L0": plain,
            "EILLS": penalised,
            "EILLS, refitted": least_squares_on(data, penalised.support),
            "pooled least squares": least_squares_on(data, everything),
            "least squares on S*": least_squares_on(data, PUBLISHED_SUPPORT),
            "least squares without spurious": least_squares_on(data, np.setdiff1d(everything, PUBLISHED_SPURIOUS)),
            "ICP": least_squares_on(data, icp(data)),
        }
        for method, fit in fits.items():
            about: Row = {"n": n, "method": method, "repetition": repetition}
            about |= {"error": float(((fit.beta - PUBLISHED_BETA) ** 2).sum())}
            rows.append(about | verdict(fit.support, PUBLISHED_SUPPORT, PUBLISHED_SPURIOUS))
    return rows


def gamma_repetition(n: int, gammas: tuple[float, ...], seed: int, repetition: int) -> list[Row]:
    """Coefficients of EILLS on the published example along `gammas`, with and without L0; one row a variable."""
    rng = generator(seed, "gamma", repetition)
    draws = [published_environment(rng, n, second) for second in (False, True)]
    data = moments([X for X, _ in draws], [y for _, y in draws])
    rows: list[Row] = []
    for gamma in gammas:
        for penalised in (False, True):
            fit = eills_exact(data, gamma, default_penalty(data, gamma) * penalised)
            about: Row = {"gamma": gamma, "penalised": penalised, "repetition": repetition}
            about |= verdict(fit.support, PUBLISHED_SUPPORT, PUBLISHED_SPURIOUS)
            rows += [about | {"variable": j + 1, "beta": float(value)} for j, value in enumerate(fit.beta)]
    return rows


def shift_repetition(
    family: Family, n: int, environments: int, shifts: tuple[float, ...], seed: int, repetition: int
) -> list[Row]:
    """Expected squared error of three predictors when the spurious strengths of all environments move by each shift."""
    rng = generator(seed, "shift", repetition)
    strengths = [family.strengths(rng) for _ in range(environments)]
    draws = [family.draw(rng, n, strength) for strength in strengths]
    data = moments([X for X, _ in draws], [y for _, y in draws])
    fits = {
        "pooled least squares": least_squares_on(data, np.arange(family.variables)),
        "EILLS": _eills(data, FAMILY_GAMMA),
        "least squares on S*": least_squares_on(data, family.important),
    }
    return [
        {
            "shift": shift,
            "method": method,
            "repetition": repetition,
            "risk": float(np.mean([family.risk(fit.beta, strength + shift) for strength in strengths])),
        }
        for shift in shifts
        for method, fit in fits.items()
    ]
