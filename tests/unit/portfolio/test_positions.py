"""Positions by account and instrument: exact, in canonical order, compact for margin."""

import numpy as np
import pytest

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD
from keeper.portfolio.exact import HI_MAX
from keeper.portfolio.instruments import Accounts, Instrument, Instruments
from keeper.portfolio.positions import ROOM_FIRST, Positions
from keeper.portfolio.undo import UndoLog


def option(strike: int, expiry: int = 100, rank: int = 0) -> Instrument:
    return Instrument("venue", "ETH", rank, expiry, strike * WAD, 0, "0x01", strike)


@pytest.fixture
def undo() -> UndoLog:
    log = UndoLog()
    log.begin(1, "0x01")
    log.begin(2, "0x02")
    return log


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
def positions(undo: UndoLog, instruments: Instruments) -> Positions:
    return Positions(undo, instruments)


def test_rows_count_from_zero_and_are_never_given_twice() -> None:
    accounts = Accounts()
    assert [accounts.row("a", 7), accounts.row("b", 7), accounts.row("a", 7)] == [0, 1, 0]
    assert (accounts.find("a", 7), accounts.find("a", 8), len(accounts)) == (0, None, 2)
    assert accounts.key(1) == ("b", 7)


def test_rank_is_canonical_order_whatever_the_order_of_listing(instruments: Instruments) -> None:
    rows = [instruments.row(option(strike)) for strike in (3, 1, 2)]
    rows.append(instruments.row(option(0, rank=1)))
    rows.append(instruments.row(option(9, expiry=99)))
    assert rows == [0, 1, 2, 3, 4]
    assert instruments.rank.tolist() == [3, 1, 2, 4, 0]
    assert instruments.row(option(1)) == 1
    assert len(instruments) == 5
    assert instruments[4].expiry == 99


def test_a_rank_that_was_read_does_not_move_under_its_reader(instruments: Instruments) -> None:
    instruments.row(option(5))
    before = instruments.rank
    instruments.row(option(1))
    assert before.tolist() == [0]
    assert instruments.rank.tolist() == [1, 0]


@pytest.mark.parametrize("value", [1, -1, WAD, -WAD - 1, HI_MAX * WAD + 5, -HI_MAX * WAD])
def test_quantities_are_exact(positions: Positions, instruments: Instruments, value: int) -> None:
    row = instruments.row(option(1))
    positions.set(4, row, value)
    assert positions.get(4, row) == value
    assert positions.held(4) == [(row, value)]
    assert positions.total == 1


def test_zero_is_not_held(positions: Positions, instruments: Instruments) -> None:
    row = instruments.row(option(1))
    positions.set(0, row, 0)
    assert (positions.total, positions.structure) == (0, 0)
    positions.set(0, row, 5)
    positions.set(0, row, 0)
    assert (positions.get(0, row), positions.held(0), positions.total) == (0, [], 0)


def test_what_was_never_seen_is_not_held(positions: Positions) -> None:
    assert positions.get(99, 3) == 0
    assert positions.held(99) == []


@pytest.mark.parametrize("value", [(HI_MAX + 1) * WAD, -(HI_MAX + 1) * WAD])
def test_a_quantity_too_large_is_refused_and_makes_no_row(
    positions: Positions, instruments: Instruments, value: int
) -> None:
    row = instruments.row(option(1))
    with pytest.raises(InvariantViolation):
        positions.set(0, row, value)
    assert (positions.held(0), positions.total) == ([], 0)


def test_structure_moves_only_with_rows(positions: Positions, instruments: Instruments) -> None:
    row = instruments.row(option(1))
    positions.set(0, row, 5)
    before = positions.structure
    positions.set(0, row, 6)
    assert positions.structure == before
    positions.set(0, row, 0)
    assert positions.structure > before


def test_structure_moves_with_the_rows_of_many_writes_and_not_with_quantities(
    positions: Positions, instruments: Instruments
) -> None:
    one, two = (instruments.row(option(strike)) for strike in (1, 2))
    seen = [positions.structure]
    for values in ({(0, one): 5, (3, two): 7}, {(0, one): 6}, {(3, one): 1, (3, two): 0}):
        positions.set_many(values)
        seen.append(positions.structure)
    assert seen[0] < seen[1] == seen[2] < seen[3]
    assert (positions.held(0), positions.held(3)) == ([(one, 6)], [(one, 1)])
    assert positions.total == 2


def test_an_account_stays_in_canonical_order_while_it_grows_and_moves(
    positions: Positions, instruments: Instruments
) -> None:
    strikes = [5, 3, 9, 1, 7, 2, 8, 4, 6]
    assert len(strikes) > 2 * ROOM_FIRST
    for account in (0, 1, 2):
        for strike in strikes:
            positions.set(account, instruments.row(option(strike)), strike * (account + 1))
    for account in (0, 1, 2):
        held = [
            (instruments[row].strike_wad // WAD, value) for row, value in positions.held(account)
        ]
        assert held == [(strike, strike * (account + 1)) for strike in sorted(strikes)]


def test_a_book_is_compact_and_asks_for_any_accounts_in_any_order(
    positions: Positions, instruments: Instruments
) -> None:
    low, high = (instruments.row(option(strike)) for strike in (1, 2))
    positions.set(0, high, 2 * WAD)
    positions.set(0, low, -WAD)
    positions.set(3, high, WAD // 2)
    start, instrument, places = positions.places(np.array([3, 1, 77, 0], np.int64))
    assert start.tolist() == [0, 1, 1, 1, 3]
    assert instrument.tolist() == [high, low, high]
    assert positions.quantities(places).tolist() == [0.5, -1.0, 2.0]
    assert instrument.dtype == np.int32


def test_an_empty_book_is_a_book(positions: Positions) -> None:
    for accounts in ([], [0], [5, 6]):
        start, instrument, places = positions.places(np.array(accounts, np.int64))
        assert start.tolist() == [0] * (len(accounts) + 1)
        assert len(instrument) == len(places) == 0


def test_the_columns_grow_beyond_their_first_size(
    positions: Positions, instruments: Instruments
) -> None:
    rows = [instruments.row(option(strike)) for strike in range(20)]
    for account in range(150):
        for row in rows:
            positions.set(account, row, account * 100 + row + 1)
    assert positions.total == 3_000
    for account in (0, 77, 149):
        assert positions.held(account) == [(row, account * 100 + row + 1) for row in rows]


def test_a_rewind_gives_back_quantities_and_rows(
    positions: Positions, instruments: Instruments, undo: UndoLog
) -> None:
    undo.rewind(1, "0x01")
    one, two = (instruments.row(option(strike)) for strike in (1, 2))
    positions.set(0, one, 5)
    undo.begin(2, "0x02")
    positions.set(0, one, 0)
    positions.set(0, two, 7)
    positions.set(0, one, 9)
    positions.set(1, two, 1)
    undo.rewind(1, "0x01")
    assert positions.held(0) == [(one, 5)]
    assert positions.held(1) == []
    assert positions.total == 1
