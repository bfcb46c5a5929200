"""Was a VaR or an ES right? Counts of failures against what was promised.

Sources: P. Kupiec (1995), proportion of failures; P. Christoffersen (1998), independence and
conditional coverage; C. Acerbi and B. Szekely (2014), second test of expected shortfall.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.distributions import chi_square_upper
from keeper.margin.errors import BadNumber, between, finite_array, positive, same_length


# Acerbi and Szekely's 5 % critical value: nearly the same for all tails they tried.
ES_CRITICAL: Final = -0.70


@dataclass(frozen=True, slots=True)
class Verdict:
    """A likelihood ratio and the chance of one as large if the model were right."""

    ratio: float
    p_value: float


def kupiec(days: int, failures: int, confidence: float) -> Verdict:
    """Return the proportion-of-failures test; one degree of freedom."""
    total, failed = _count("days", days), _count("failures", failures)
    if failed > total or total == 0:
        raise BadNumber("failures", failures, "pass no more failures than days, and some days")
    chance = 1.0 - between("confidence", confidence, 0.0, 1.0)
    share = failed / total
    promised = _log_likelihood(total - failed, failed, chance)
    ratio = -2.0 * (promised - _log_likelihood(total - failed, failed, share))
    return Verdict(ratio, chi_square_upper(ratio, 1))


def christoffersen(n00: int, n10: int, n01: int, n11: int) -> Verdict:
    """Return the independence test; nab = days in state b after a day in a, 1 = failure."""
    quiet, after_quiet = _count("N00", n00), _count("N01", n01)
    calm, repeated = _count("N10", n10), _count("N11", n11)
    total = quiet + after_quiet + calm + repeated
    if total == 0:
        raise BadNumber("N00", n00, "pass at least one pair of days")
    either = (after_quiet + repeated) / total
    apart = _log_likelihood(quiet, after_quiet, _share(after_quiet, quiet))
    apart += _log_likelihood(calm, repeated, _share(repeated, calm))
    together = _log_likelihood(quiet + calm, after_quiet + repeated, either)
    ratio = -2.0 * (together - apart)
    return Verdict(ratio, chi_square_upper(ratio, 1))


def conditional_coverage(coverage: Verdict, independence: Verdict) -> Verdict:
    """Return both tests as one; two degrees of freedom."""
    ratio = coverage.ratio + independence.ratio
    return Verdict(ratio, chi_square_upper(ratio, 2))


def transitions(failed: Floats) -> tuple[int, int, int, int]:
    """Return (n00, n10, n01, n11) of a series of 0 and 1, in `christoffersen`'s order."""
    series = finite_array("failed", failed, 2) != 0.0
    before, after = series[:-1], series[1:]
    pairs = (~before & ~after, before & ~after, ~before & after, before & after)
    n00, n10, n01, n11 = (int(np.count_nonzero(each)) for each in pairs)
    return n00, n10, n01, n11


def shortfall_test(pnl: Floats, var: Floats, es: Floats, confidence: float) -> float:
    """Return Acerbi and Szekely's Z2; zero expected, below `ES_CRITICAL` the ES is too small.

    pnl gain positive; var and es positive losses, all (day,).
    """
    gains = finite_array("pnl", pnl, 1)
    limits, beyond = finite_array("var", var, 1), finite_array("es", es, 1)
    same_length("pnl, var, es", gains, limits, beyond)
    positive("least of es", float(beyond.min()))
    chance = 1.0 - between("confidence", confidence, 0.0, 1.0)
    worse = gains < -limits
    return float((gains[worse] / beyond[worse]).sum() / (len(gains) * chance) + 1.0)


def _log_likelihood(held: int, failed: int, chance: float) -> float:
    """Return the binomial log-likelihood, where nothing times log zero is nothing."""
    quiet = held * math.log1p(-chance) if held else 0.0
    return quiet + (failed * math.log(chance) if failed else 0.0)


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else 0.0


def _count(field: str, value: float) -> int:
    if value < 0 or value != int(value):
        raise BadNumber(field, value, "pass a whole number of zero or more")
    return int(value)
