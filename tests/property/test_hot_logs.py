"""A block's logs folded at once leave what they leave one by one: state, undo, words, refusals."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.errors import InvariantViolation, UndecodableLog
from keeper.domain.events import BlockSealed, Log
from keeper.domain.logs import Logs
from keeper.portfolio.exact import HI_MAX
from keeper.portfolio.image import cut
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.logs.fold_hot import fold_logs
from keeper.venue import fold_each
from tests.unit.domain.columnar import columnar
from tests.unit.protocols.derive.deployment import (
    ALICE,
    CASH,
    COIN,
    KEEPER,
    MANAGER,
    NOW,
    OPTION,
    PERP,
    SOON,
    SPOT_FEED,
    SUB_ACCOUNTS,
    WAD,
    Deployment,
    at,
    option_id,
)
from tests.unit.protocols.derive.logs import log_of


STRANGER = at(990)
MANAGERS = st.sampled_from([MANAGER, MANAGER, MANAGER, STRANGER])
ACCOUNTS = st.integers(1, 6)  # two of them are opened in the course of a block, or never
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(10**22), 10**22),
    st.sampled_from([10**25, -(10**25), 10**25, -(10**25)]),  # more than there is of cash
    st.sampled_from([HI_MAX * WAD, -HI_MAX * WAD, 2**127 - 1, 2**64, -(2**64), WAD - 1]),
)
NATURALS = st.integers(0, 10**22)
INSTRUMENTS = st.sampled_from(
    [
        (CASH, 0),
        (CASH, 0),
        (PERP, 0),
        (COIN, 0),
        *(
            (OPTION, option_id(SOON, strike, call))
            for strike in (2_000, 2_100)
            for call in (False, True)
        ),
    ]
)


@st.composite
def balance(draw: Any) -> Log:
    asset, sub_id = draw(INSTRUMENTS)
    packed = bytes.fromhex(asset[2:]) + sub_id.to_bytes(12, "big")
    where = (draw(ACCOUNTS), draw(MANAGERS), packed)
    after = draw(st.one_of(st.just(0), NUMBERS))
    source = draw(st.sampled_from([SUB_ACCOUNTS] * 5 + [STRANGER]))
    return log_of("BalanceAdjusted", *where, 1, 2, after, 3, source=source)


@st.composite
def said(draw: Any, name: str, sources: list[str], *arguments: Any) -> Log:
    values = [draw(each) for each in arguments]
    return log_of(name, *values, source=draw(st.sampled_from([*sources, STRANGER])))


PERPS, CASHES, OWN = [PERP] * 4, [CASH] * 4, [SUB_ACCOUNTS] * 4
HOT = [
    balance(),
    balance(),
    balance(),
    said("InterestAccruedOnAccount", CASHES, ACCOUNTS, NUMBERS, st.integers(-9, 9), NATURALS),
    said("PositionSettled", PERPS, ACCOUNTS, NUMBERS, NUMBERS, NATURALS),
    said("FundingAppliedOnAccount", PERPS, ACCOUNTS, st.integers(-(10**20), 10**20), NUMBERS),
    said("PositionCleared", PERPS, ACCOUNTS),
]
OTHERS = [
    said("InterestAccrued", CASHES, *[NATURALS] * 5),
    said("SettledCashUpdated", CASHES, NUMBERS, NUMBERS),
    said("SmFeeSet", CASHES, NATURALS),
    said("AggregatedFundingUpdated", PERPS, NUMBERS, NUMBERS, st.just(NOW + 3)),
    said("SpotPriceUpdated", [SPOT_FEED] * 4, NATURALS, NATURALS, st.just(NOW + 3)),
    said("Transfer", OWN, st.just(ALICE), st.just(KEEPER), ACCOUNTS),
    said("AccountCreated", OWN, st.just(ALICE), ACCOUNTS, MANAGERS),
    st.just(Log(CASH, (), "0x", 0, "0x")),
    st.just(Log(CASH, ("0x" + "77" * 32,), "0x", 0, "0x")),
]
LOGS = st.one_of(*HOT, *HOT, *HOT, *OTHERS)


# Something wrong with a log, or said in an odd way.
TWISTS: dict[str, Callable[[Log], Log]] = {
    "short": lambda log: log._replace(data=log.data[:-2] or "0x00"),
    "digits": lambda log: log._replace(data=log.data[:-1] + "g"),
    "blank": lambda log: log._replace(data=log.data[:-2] + "  "),
    "prefix": lambda log: log._replace(data="00" + log.data[2:]),
    "topic": lambda log: log._replace(topics=(*log.topics, "0x" + "00" * 32)),
    "address": lambda log: log._replace(topics=tuple(f"0xff{each[4:]}" for each in log.topics)),
    "padding": lambda log: log._replace(
        topics=(log.topics[0], *(f"0xff{each[4:]}" for each in log.topics[1:]))
    ),
    "upper": lambda log: log._replace(
        topics=(log.topics[0], *("0x" + each[2:].upper() for each in log.topics[1:]))
    ),
    "huge": lambda log: log._replace(data="0x" + "7f" * (len(log.data) // 2 - 1)),
    "wide": lambda log: log._replace(data="0x" + f"{2**128:064x}" * (len(log.data) // 64)),
}
BLOCKS = st.lists(
    st.tuples(
        st.lists(LOGS, max_size=24),
        st.none() | st.tuples(st.integers(0, 23), st.sampled_from(sorted(TWISTS))),
    ),
    min_size=1,
    max_size=3,
)


class World:
    """A deployment with four accounts that hold something."""

    def __init__(self) -> None:
        self.deployment = Deployment()
        for account in range(1, 5):
            self.deployment.account(account, 100.0)
        self.venue: Derive = self.deployment.venue
        self.undo = self.deployment.portfolio.undo
        self.tables = self.venue.tables

    def told(self) -> Any:
        """Everything held, and what is told of it; floats by name, for rows may differ."""
        portfolio = self.deployment.portfolio
        held = cut(portfolio)
        start, listed, quantity = held.positions
        owners = np.repeat(np.arange(len(start) - 1), np.diff(start)).tolist()
        floats = {
            (held.accounts[row], portfolio.instruments[each]): value
            for row, each, value in zip(owners, listed.tolist(), quantity.floats, strict=True)
        }
        columns = {
            (name, held.accounts[row]): parts.floats[row]
            for name, parts in held.columns.items()
            for row in np.flatnonzero(parts.floats).tolist()
        }
        state = (portfolio.contents(), floats, columns, list(self.tables.doubts.items()))
        return state, portfolio.positions.total, self.venue.notices(), self.venue.moved()

    def fold(self, number: int, logs: Sequence[Log], least: int | None) -> str:
        """Fold a block; return why it could not be, "" where it could."""
        self.undo.begin(number, f"0x{number:064x}")
        block = BlockSealed(1, number, "0x", "0x", NOW + number, 0, 0, True, 0, logs)
        try:
            if least is None:
                fold_each(self.venue, logs, block)
            else:
                fold_logs(self.venue, self.tables, logs, block, least)
        except (UndecodableLog, InvariantViolation) as error:
            return str(error)
        return ""


def _logs(drawn: list[Log], twist: tuple[int, str] | None) -> list[Log]:
    logs = [log._replace(log_index=index) for index, log in enumerate(drawn)]
    if twist is not None and twist[0] < len(logs) and logs[twist[0]].topics:
        logs[twist[0]] = TWISTS[twist[1]](logs[twist[0]])
    return logs


def held(logs: list[Log]) -> Sequence[Log]:
    """Return logs as the link hands them over, where it would: it never holds what is no hex."""
    try:
        columns = columnar(logs)
    except ValueError:
        return tuple(logs)
    return columns if columns == tuple(logs) else tuple(logs)


@given(blocks=BLOCKS, least=st.sampled_from([1, 3, 8]))
@settings(max_examples=400, deadline=None)
def test_a_block_folded_at_once_is_a_block_folded_log_by_log(
    blocks: list[tuple[list[Log], tuple[int, str] | None]], least: int
) -> None:
    single, whole, columns = World(), World(), World()
    states = [whole.told()]
    columns.told()
    for number, (drawn, twist) in enumerate(blocks, 2):
        logs = _logs(drawn, twist)
        said = whole.fold(number, logs, least)
        assert single.fold(number, logs, None) == said
        assert columns.fold(number, held(logs), least) == said
        states.append(whole.told())
        assert single.told() == states[-1]
        assert columns.told() == states[-1]
    for number in range(len(blocks), 0, -1):
        its_hash = whole.undo.hash_at(number)
        assert its_hash is not None
        whole.undo.rewind(number, its_hash)
        assert whole.told()[:2] == states[number - 1][:2]


def cash_log(account: int, after: int) -> Log:
    packed = bytes.fromhex(CASH[2:]) + bytes(12)
    return log_of("BalanceAdjusted", account, MANAGER, packed, 1, 2, after, 3, source=SUB_ACCOUNTS)


def interest_log(account: int, before: int) -> Log:
    return log_of("InterestAccruedOnAccount", account, before, 0, WAD, source=CASH)


def settled_log(account: int, profit: int) -> Log:
    return log_of("PositionSettled", account, 3, profit, 2_000, source=PERP)


def funded_log(account: int, funding: int) -> Log:
    return log_of("FundingAppliedOnAccount", account, funding, 7, source=PERP)


def cleared_log(account: int) -> Log:
    return log_of("PositionCleared", account, source=PERP)


UPPER = TWISTS["upper"](cash_log(10, 5))
SPOT = log_of("SpotPriceUpdated", 5, 6, NOW, source=SPOT_FEED)
LEAVE, RETURN = interest_log(1, 9 * 10**24), cash_log(1, 10**24)


@pytest.mark.parametrize(
    "logs",
    [
        pytest.param([LEAVE, RETURN, LEAVE, RETURN, RETURN], id="totals_that_stop_at_zero"),
        pytest.param([LEAVE, LEAVE, RETURN, RETURN], id="totals_that_come_back_late"),
        pytest.param(
            [cash_log(1, 7), TWISTS["short"](SPOT), cash_log(1, 8)], id="the_one_aside_is_cut"
        ),
        pytest.param([cash_log(10, 4), UPPER, cash_log(10, 6)], id="one_account_said_in_two_ways"),
        pytest.param([UPPER, cash_log(10, 6), UPPER], id="one_account_said_in_two_ways_again"),
        pytest.param([cash_log(1, 7), TWISTS["prefix"](cash_log(2, 8))], id="no_prefix"),
        pytest.param([settled_log(1, 5), cleared_log(1)], id="settled_and_cleared"),
        pytest.param([cleared_log(1), settled_log(1, 5)], id="settled_after_it_was_cleared"),
        pytest.param(
            [funded_log(1, 5), cleared_log(1), funded_log(1, 6), funded_log(2, 7)],
            id="funded_after_it_was_cleared",
        ),
        pytest.param([funded_log(1, 5), cleared_log(1)], id="funded_and_cleared"),
        pytest.param([cleared_log(1), funded_log(1, 5), cleared_log(1)], id="cleared_twice"),
        pytest.param([cash_log(1, 7), TWISTS["digits"](cash_log(2, 8))], id="no_digits"),
    ],
)
def test_folded_at_once_is_folded_log_by_log(logs: list[Log]) -> None:
    numbered = [log._replace(log_index=index) for index, log in enumerate(logs)]
    single, whole, columns = World(), World(), World()
    for world in (single, whole, columns):
        assert world.fold(2, [funded_log(1, 11), settled_log(1, 12)], None) == ""
    said = single.fold(3, numbered, None)
    assert whole.fold(3, numbered, 1) == said
    assert columns.fold(3, held(numbered), 1) == said
    assert single.told() == whole.told() == columns.told()


ONE_OF_EACH = {
    "balance": cash_log(2, 8),
    "interest": interest_log(2, 5),
    "settled": settled_log(2, 6),
    "funded": funded_log(2, 10),
    "cleared": cleared_log(2),
}


@pytest.mark.parametrize("twist", sorted(TWISTS))
@pytest.mark.parametrize("kind", sorted(ONE_OF_EACH))
def test_a_twisted_log_among_hot_ones_is_folded_or_refused_as_it_is_alone(
    kind: str, twist: str
) -> None:
    twisted = TWISTS[twist](ONE_OF_EACH[kind])
    test_folded_at_once_is_folded_log_by_log([ONE_OF_EACH[kind], twisted, cash_log(1, 9)])


def test_many_hot_logs_are_one_write_a_column() -> None:
    world, columns = World(), World()
    legs = [(account, call) for account in range(1, 5) for call in (False, True)] * 20
    logs = []
    for index, (account, call) in enumerate(legs):
        sub_id = option_id(SOON, 2_000, call)
        for asset, sub in ((OPTION, sub_id), (CASH, 0)):
            packed = bytes.fromhex(asset[2:]) + sub.to_bytes(12, "big")
            where = (account, MANAGER, packed)
            made = log_of("BalanceAdjusted", *where, 1, 2, index - 80, 3, source=SUB_ACCOUNTS)
            logs.append(made)
    assert isinstance(held(logs), Logs)
    for each, given_as in ((world, logs), (columns, held(logs))):
        assert each.fold(2, given_as, 128) == ""
        written = each.undo._frames[-1].writes
        assert len(written) == 3, "cash, its totals, positions"
        assert each.tables.cash.get(each.tables.row(4)) == len(legs) - 81
