"""The auction's curve: each branch by hand, and the upstream simulations to 1e-12."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters


CURVE = AuctionParameters(0.95, 0.70, 900, 43_200, 3_600, 0.10, 0.15, 0.0)
SOLVENT = Auction(CURVE, False, 1_000, 3, 0.0, 1_000.0, -400.0)
INSOLVENT = Auction(CURVE, True, 1_000, 3, 0.0, -100.0, -500.0)
END = 1_000 + 900 + 43_200
GOLDEN = AuctionParameters(0.98, 0.80, 100, 14_400, 600, 0.02, 0.2, 0.0)


@pytest.mark.parametrize(
    ("elapsed", "share"),
    [(0, 0.95), (450, 0.825), (900, 0.70), (900 + 21_600, 0.35), (44_100, 0.0), (99_999, 0.0)],
)
def test_the_share_of_mark_falls_fast_then_slowly_then_is_nothing(
    elapsed: int, share: float
) -> None:
    assert SOLVENT.discount(1_000 + elapsed) == pytest.approx(share, abs=1e-15)


def test_a_curve_without_a_fast_part_begins_at_its_cutoff() -> None:
    slow_only = replace(SOLVENT, parameters=replace(CURVE, fast_s=0))

    assert slow_only.discount(1_000) == 0.70


def test_buffered_margin_adds_the_buffer_on_the_requirement() -> None:
    assert SOLVENT.buffered_usd == pytest.approx(-400.0 - 1_400.0 * 0.15)


def test_a_solvent_price_leaves_out_what_earlier_bidders_paid_in() -> None:
    assert SOLVENT.price(1_900) == pytest.approx(700.0)
    assert replace(SOLVENT, reserved_usd=300.0).price(1_900) == pytest.approx(490.0)


def test_the_largest_fraction_brings_the_rest_back_to_its_buffer() -> None:
    auction = replace(SOLVENT, reserved_usd=200.0)
    share = auction.fraction_max(1_900)
    paid = share * auction.price(1_900)

    # What is sold is everything but the reserved cash; what is paid stays with the account.
    left = auction.buffered_usd - share * (auction.buffered_usd - 200.0) + paid

    assert 0.0 < share < 1.0
    assert left == pytest.approx(0.0, abs=1e-9)


def test_below_the_cutoff_of_equity_everything_may_be_taken() -> None:
    assert replace(SOLVENT, equity_usd=999.0).fraction_max(1_000) < 1.0
    tiny = replace(SOLVENT, parameters=replace(CURVE, mtm_cutoff_usd=1_000.0), equity_usd=999.0)
    assert tiny.fraction_max(1_000) == 1.0


def test_an_account_that_owes_nothing_and_owns_nothing_does_not_divide_by_zero() -> None:
    assert replace(SOLVENT, equity_usd=0.0, mm_excess_usd=0.0).fraction_max(1_000) == 1.0


@pytest.mark.parametrize(
    ("elapsed", "price"), [(0, -100.0), (1_800, -300.0), (3_600, -500.0), (9_999, -500.0)]
)
def test_an_insolvent_payout_rises_from_the_loss_to_the_whole_excess(
    elapsed: int, price: float
) -> None:
    assert INSOLVENT.price(1_000 + elapsed) == pytest.approx(price)


def test_a_converted_auction_pays_although_the_account_is_worth_something() -> None:
    converted = replace(INSOLVENT, equity_usd=200.0)

    assert converted.price(1_000) == 0.0
    assert converted.price(2_800) == pytest.approx(-250.0)
    assert converted.profit(2_800, 0.5) == pytest.approx(225.0)


def test_an_insolvent_account_that_healed_costs_nothing_and_can_be_ended() -> None:
    healed = replace(INSOLVENT, mm_excess_usd=0.0)

    assert healed.price(9_999) == 0.0
    assert healed.can_terminate(9_999)


def test_an_insolvent_bidder_brings_the_excess_less_what_it_is_paid() -> None:
    assert INSOLVENT.cash_needed(1_000, 1.0) == pytest.approx(400.0)
    assert INSOLVENT.cash_needed(4_600, 0.5) == 0.0


def test_a_solvent_bidder_brings_its_payment_and_the_missing_margin() -> None:
    auction = replace(SOLVENT, reserved_usd=100.0)

    assert auction.cash_needed(1_900, 0.5) == pytest.approx(0.5 * 630.0 + 0.5 * 710.0)


@pytest.mark.parametrize(
    ("auction", "at_s", "ends"),
    [
        (SOLVENT, 1_000, False),
        (replace(SOLVENT, equity_usd=-1.0), 1_000, True),
        (replace(SOLVENT, reserved_usd=1_000.0), 1_000, True),
        (replace(SOLVENT, mm_excess_usd=1.0), 1_000, False),  # margin is back, its buffer is not
        (replace(SOLVENT, mm_excess_usd=200.0), 1_000, True),
        (replace(SOLVENT, mm_excess_usd=1.0), END + 1, True),  # the buffer counts no more
        (replace(SOLVENT, equity_usd=-1.0), END + 1, False),
        (INSOLVENT, 1_000, False),
        (INSOLVENT, 99_999, False),
    ],
)
def test_who_may_end_an_auction_follows_the_status_rules(
    auction: Auction, at_s: int, ends: bool
) -> None:
    assert auction.can_terminate(at_s) is ends


def test_a_solvent_auction_is_over_one_second_past_its_end_and_an_insolvent_never() -> None:
    assert not SOLVENT.over(END)
    assert SOLVENT.over(END + 1)
    assert not INSOLVENT.over(END + 1)


def test_profit_is_mark_less_price() -> None:
    assert SOLVENT.profit(1_900, 0.5) == pytest.approx(150.0)
    assert INSOLVENT.profit(1_000, 1.0) == 0.0
    assert INSOLVENT.profit(4_600, 0.5) == pytest.approx(200.0)


def test_the_curve_reproduces_the_upstream_simulations(vectors_dir: Path) -> None:
    tests = json.loads((vectors_dir / "derive_auction" / "liquidationTests.json").read_text())
    steps = 0
    for name, test in tests.items():
        reserved = 0.0
        for action in [] if name.startswith("Insolvent") else test["Actions"]:
            results, at_s = action["Results"], action["Time"]
            mtm, mm = results["PreMtM"] / 1e18, results["PreMM"] / 1e18
            auction = Auction(GOLDEN, False, 0, 0, reserved, mtm, mm)
            wanted = action["Liquidator"]["PercentWant"] / 1e18
            fraction = min(wanted, auction.fraction_max(at_s))
            paid = fraction * auction.price(at_s)
            reserved += paid
            steps += 1

            assert auction.buffered_usd == pytest.approx(results["PreBM"] / 1e18, rel=1e-12)
            limit = results["PreFMax"] / 1e18
            assert auction.fraction_max(at_s) == pytest.approx(limit, rel=1e-12), name
            # Upstream counts the fraction of the account as it first stood, not as it stands.
            assert paid == pytest.approx(results["ExpectedBidPrice"] / 1e18, rel=1e-12), name
    assert steps == 10
