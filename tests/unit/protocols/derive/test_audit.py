"""Our figures beside the chain's: every term that differs is found and named, nothing else is."""

import random
from collections.abc import Callable

import pytest

from keeper.margin.book import Kind
from keeper.protocols.derive.tables import SpotRow
from keeper.protocols.derive.views.audit import DRIFT_MAX, count_question
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import Views, questions, raw
from tests.unit.protocols.derive.deployment import LATER, NOW, SOON, WAD, Deployment, wad


HOLDER = 3  # holds one of everything


def deployed() -> Deployment:
    made = Deployment()
    made.account(1, 100.0)
    made.account(2, -500.0, (Kind.PERPETUAL, 0, 0.0, 2.0))
    made.account(
        HOLDER,
        9_000.0,
        (Kind.CALL, SOON, 2_100.0, -3.0),
        (Kind.PUT, LATER, 1_900.0, 2.0),
        (Kind.PERPETUAL, 0, 0.0, -1.0),
        (Kind.BASE, 0, 0.0, 1.5),
    )
    return made


def found(
    ours: Callable[[Deployment], None], account: int = HOLDER, *, reverting: bool = False
) -> list[str]:
    """Return the terms in which we differ from the chain after something was planted in ours."""
    views, planted = Views(deployed()), deployed()
    views.reverting |= {account} if reverting else set()
    ours(planted)
    asked = questions(planted)
    return [each.term for each in asked[account].judge(views.answers(asked[account].asks))]


def test_where_the_tables_are_the_chain_s_nothing_differs() -> None:
    views = Views(deployed())
    for each in questions(deployed()).values():
        assert each.judge(views.answers(each.asks)) == []


def test_one_wei_of_cash_is_found_and_named() -> None:
    def plant(ours: Deployment) -> None:
        row = ours.tables.row(HOLDER)
        ours.tables.cash.set(row, ours.tables.cash.get(row) + 1)

    assert found(plant) == ["cash"]


def test_one_wei_of_a_position_is_found_and_named() -> None:
    def plant(ours: Deployment) -> None:
        row = ours.tables.row(HOLDER)
        perp = ours.tables.instrument(on.MANAGER, on.PERP, 0)
        ours.portfolio.positions.set(row, perp, wad(-1.0) - 1)

    assert found(plant) == [f"position {on.PERP}/0"]


def test_a_missed_position_is_named_before_what_follows_from_it() -> None:
    def plant(ours: Deployment) -> None:
        coin = ours.tables.instrument(on.MANAGER, on.COIN, 0)
        ours.portfolio.positions.set(ours.tables.row(HOLDER), coin, 0)

    assert found(plant) == [f"position {on.COIN}/0", "mm", "im", "mtm"]


def test_a_position_the_chain_does_not_know_is_named() -> None:
    def plant(ours: Deployment) -> None:
        coin = ours.tables.instrument(on.MANAGER, on.COIN, 0)
        ours.portfolio.positions.set(ours.tables.row(2), coin, wad(0.001))

    assert found(plant, 2)[0] == f"position {on.COIN}/0"


def test_a_wrong_parameter_shows_in_the_margin_it_belongs_to_alone() -> None:
    def mm_factor(ours: Deployment) -> None:
        row = ours.tables.margin[on.LIB]
        ours.tables.margin.set(on.LIB, row._replace(mm_factor=row.mm_factor + wad(0.001)))

    def im_perp(ours: Deployment) -> None:
        row = ours.tables.other[on.LIB]
        ours.tables.other.set(on.LIB, row._replace(im_perp=row.im_perp + wad(0.001)))

    assert found(mm_factor) == ["mm"]
    assert found(im_perp) == ["im"]


def test_a_missed_quote_shows_in_equity_too() -> None:
    def plant(ours: Deployment) -> None:
        ours.tables.spots.set(on.COIN_FEED, SpotRow(wad(2_000.1), wad(0.9), NOW))

    assert found(plant) == ["mm", "im", "mtm"]


def test_interest_we_would_not_credit_is_found_in_accrued_cash_alone() -> None:
    def plant(ours: Deployment) -> None:
        ours.tables.cash_index.set(ours.tables.row(2), WAD - WAD // 1_000)

    assert found(plant, 2) == ["cash with interest"]


def test_a_number_where_the_view_reverts_is_a_difference_and_so_is_none_where_it_answers() -> None:
    def stale(ours: Deployment) -> None:
        ours.tables.spots.set(on.SPOT_FEED, SpotRow(wad(2_000.0), WAD, NOW - 10_000))

    assert found(lambda _: None, reverting=True) == ["mm", "im", "mtm"]
    assert found(stale) == ["mm", "im", "mtm"]


def test_undefined_on_both_sides_is_agreement() -> None:
    truth = deployed()
    truth.tables.spots.set(on.SPOT_FEED, SpotRow(wad(2_000.0), WAD, NOW - 10_000))
    views = Views(truth)
    each = questions(truth)[HOLDER]
    assert views.answers(each.asks)[0] is None
    assert each.judge(views.answers(each.asks)) == []


@pytest.mark.parametrize(("shares", "terms"), [(0.5, []), (2.0, ["mm", "mtm"])])
def test_drift_is_measured_against_gross_notional(shares: float, terms: list[str]) -> None:
    views, each = Views(deployed()), questions(deployed())[HOLDER]
    answers = views.answers(each.asks)
    gross = 3 * 2_000.0 + 2 * 2_000.0 + 2_000.0 + 1.5 * 2_000.0 + 9_000.0  # and nothing else
    assert answers[0] is not None
    moved = [int.from_bytes(answers[0][at : at + 32], "big", signed=True) for at in (0, 32)]
    by = round(shares * DRIFT_MAX * gross * WAD)
    answers[0] = raw(moved[0] + by, moved[1] + by, 0)
    assert [apart.term for apart in each.judge(answers)] == terms


@pytest.mark.parametrize("cut", [0, 31, 40, 100])
def test_an_answer_of_another_shape_is_a_difference_and_no_crash(cut: int) -> None:
    views, each = Views(deployed()), questions(deployed())[HOLDER]
    answers = [None if answer is None else answer[:cut] for answer in views.answers(each.asks)]
    apart = each.judge(answers)
    assert apart[0].term == "balances"
    assert "another shape" in apart[0].theirs


def test_a_list_of_balances_that_is_cut_short_is_not_read_as_smaller_numbers() -> None:
    each = questions(deployed())[HOLDER]
    answers = Views(deployed()).answers(each.asks)
    assert answers[2] is not None
    answers[2] = answers[2][:-1]
    assert [apart.term for apart in each.judge(answers)] == ["balances"]


def test_whatever_a_node_answers_ends_in_differences_and_in_nothing_else() -> None:
    chance, each = random.Random(7), questions(deployed())[HOLDER]
    for _ in range(500):
        answers: list[bytes | None] = [
            None if chance.random() < 0.1 else chance.randbytes(chance.choice((0, 31, 64, 96, 480)))
            for _ in each.asks
        ]
        assert each.judge(answers), "random bytes are nobody's margin"


def test_a_hostile_list_of_balances_is_refused_by_its_length() -> None:
    each = questions(deployed())[HOLDER]
    answers = Views(deployed()).answers(each.asks)
    answers[2] = raw(32, 2**31, 1, 2, 3)
    assert [apart.term for apart in each.judge(answers)] == ["balances"]


def test_an_account_we_never_saw_is_missed_by_number() -> None:
    truth, ours = deployed(), deployed()
    truth.account(4, 5.0)
    asked = count_question(ours.tables)
    (apart,) = asked.judge(Views(truth).answers(asked.asks))
    assert str(apart) == "accounts ours 3, the chain's 4"
    assert asked.judge(Views(deployed()).answers(asked.asks)) == []


def test_a_difference_tells_account_term_and_both_figures() -> None:
    views = Views(deployed())
    ours = deployed()
    ours.tables.cash.set(ours.tables.row(1), wad(100.5))
    each = questions(ours)[1]
    told = str(each.judge(views.answers(each.asks))[0])
    assert told == f"account 1: cash ours {wad(100.5)}, the chain's {wad(100.0)}"


def test_figures_are_copied_when_the_question_is_made() -> None:
    ours = deployed()
    each = questions(ours)[HOLDER]
    answers = Views(deployed()).answers(each.asks)
    ours.tables.cash.set(ours.tables.row(HOLDER), wad(1.0))
    ours.portfolio.positions.set(
        ours.tables.row(HOLDER), ours.tables.instrument(on.MANAGER, on.PERP, 0), 7
    )
    assert each.judge(answers) == []
