"""The market: a seed plays the same crash for ever, and its surfaces are never absurd."""

import math
from itertools import pairwise

from deploy.devnet.venue.market import Moment, crash_plan, play
from deploy.devnet.venue.scene import START_S, UNDERLYINGS, expiries, expiry, markets


BLOCKS = 120


def played(seed: int) -> list[Moment]:
    return play(seed, UNDERLYINGS, expiries(), START_S, 30, BLOCKS)


def test_the_same_seed_plays_the_same_market() -> None:
    assert played(3) == played(3)


def test_another_seed_plays_another_market() -> None:
    assert played(3) != played(4)


def test_time_moves_one_step_a_block_from_the_start() -> None:
    assert [each.timestamp for each in played(1)] == [START_S + 30 * n for n in range(BLOCKS + 1)]


def test_the_gap_is_one_block_and_the_largest_fall() -> None:
    moments = played(1)
    spots = [each.underlyings[0].spot for each in moments]
    falls = [after / before - 1.0 for before, after in pairwise(spots)]
    gap = crash_plan(BLOCKS).gap
    assert falls.index(min(falls)) == gap
    assert -0.11 < falls[gap] < -0.07


def test_variance_is_positive_on_every_listed_strike_throughout() -> None:
    strikes = {each.underlying: each.strikes for each in markets()}
    for moment in played(2):
        for quote in moment.underlyings:
            for line in quote.expiries:
                smile = line.smile
                for strike in strikes[quote.underlying].get(line.expiry, ()):
                    k = math.log(strike / smile.forward) - smile.m
                    wing = smile.rho * k + math.sqrt(k * k + smile.sigma**2)
                    assert smile.a + smile.b * wing > 0.0


def test_no_expiry_passes_during_a_run() -> None:
    last = START_S + 30 * 10 * BLOCKS
    assert all(each > last for each in expiries())
    assert expiry(2) == min(expiries())
