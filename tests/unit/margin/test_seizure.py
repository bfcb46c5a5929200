"""Liquidation amounts: state in; repayment, seizure and what is left out, for each protocol."""

from dataclasses import replace

import pytest

from keeper.margin.methods.aave_v3 import AaveRules, AaveV3, partial_limit
from keeper.margin.methods.compound_v3 import CompoundV3, absorb, balance_after
from keeper.margin.methods.morpho_blue import MorphoBlue, incentive
from keeper.margin.seizure import Lending, Liquidation, Reserve


def account(coins: float, owed: float, threshold: float = 0.8) -> Lending:
    return Lending((Reserve(coins, 2000.0, threshold),), (Reserve(owed, 1.0),))


AAVE = AaveV3(AaveRules(bonus=1.05, protocol_fee=0.1))
COMPOUND = CompoundV3((0.9,))
MORPHO = MorphoBlue(0.86)


@pytest.mark.parametrize("rule", [AAVE, COMPOUND, MORPHO])
def test_a_healthy_account_is_left_alone(rule: Liquidation) -> None:
    sound = account(10.0, 10_000.0)
    assert not rule.breached(sound)
    found = rule.largest(sound, 0, 0)
    assert (found.repaid, found.seized, found.received) == (0.0, 0.0, 0.0)
    assert (found.debt_left, found.collateral_left) == (10_000.0, 10.0)


@pytest.mark.parametrize("rule", [AAVE, COMPOUND, MORPHO])
@pytest.mark.parametrize("owed", [17_300.0, 19_500.0, 25_000.0])
def test_nothing_is_lost_or_made(rule: Liquidation, owed: float) -> None:
    state = account(10.0, owed)
    assert rule.breached(state)
    found = rule.largest(state, 0, 0)
    assert found.repaid + found.debt_left + found.written_off == pytest.approx(owed)
    assert found.seized + found.collateral_left == pytest.approx(10.0)
    assert 0.0 <= found.received <= found.seized


def test_aave_repays_half_while_the_account_is_large_and_near_the_line() -> None:
    found = AAVE.largest(account(10.0, 16_500.0), 0, 0)
    assert found.repaid == pytest.approx(8_250.0)
    assert found.seized == pytest.approx(8_250.0 * 1.05 / 2000.0)
    fee = 0.1 * (found.seized - found.seized / 1.05)
    assert found.received == pytest.approx(found.seized - fee)


def test_aave_repays_all_of_a_small_or_a_sick_debt() -> None:
    assert AAVE.largest(account(10.0, 17_000.0), 0, 0).repaid == pytest.approx(17_000.0)
    small = account(0.75, 1_250.0)
    assert AAVE.largest(small, 0, 0).debt_left == 0.0


def test_aave_burns_what_no_collateral_covers() -> None:
    found = AAVE.largest(account(10.0, 25_000.0), 0, 0)
    assert found.repaid == pytest.approx(20_000.0 / 1.05)
    assert found.debt_left == 0.0
    assert found.written_off == pytest.approx(25_000.0 - 20_000.0 / 1.05)


def test_aave_leaves_no_dust_unless_a_side_is_cleared() -> None:
    rules = AaveRules(bonus=1.05, leftover=1000.0)
    assert partial_limit(rules, 1500.0) == 500.0
    assert partial_limit(rules, 900.0) == 0.0
    two = Lending(
        (Reserve(1.5, 2000.0, 0.1), Reserve(1.0, 3716.0, 0.95)),
        (Reserve(2_400.0, 1.0), Reserve(1_500.0, 1.0)),
    )
    found = AaveV3(rules).largest(two, 0, 0)
    assert found.debt_left == pytest.approx(1_000.0)
    assert found.collateral_left * 2000.0 >= 1_000.0


def test_compound_takes_everything_and_credits_what_is_over() -> None:
    found = COMPOUND.largest(account(10.0, 17_000.0), 0, 0)
    assert found.collateral_left == 0.0
    assert found.written_off == 0.0
    assert balance_after(17_000.0, 18_000.0) == 1_000.0
    borrow, reserves = absorb(50_000.0, 5_000.0, (17_000.0,), (18_000.0,))
    assert (borrow, reserves) == (33_000.0, -13_000.0)


def test_morpho_seizes_by_its_incentive() -> None:
    found = MORPHO.largest(account(10.0, 17_300.0), 0, 0)
    assert found.repaid == pytest.approx(17_300.0)
    assert found.seized == pytest.approx(17_300.0 * incentive(0.86) / 2000.0)
    poor = MORPHO.largest(account(10.0, 25_000.0), 0, 0)
    assert poor.collateral_left == 0.0
    assert poor.written_off == pytest.approx(25_000.0 - 20_000.0 / incentive(0.86))


def test_health_and_excess_tell_the_same() -> None:
    state = account(10.0, 16_000.0)
    assert state.health == pytest.approx(1.0)
    assert state.excess == pytest.approx(0.0)
    assert replace(state, debts=()).health == float("inf")
