"""Undo exactness of Derive's folding: any events in any order are taken back and folded again."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.events import BlockSealed
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.fold import WRITERS, Fold
from keeper.protocols.derive.record import dump, load
from keeper.protocols.derive.tables import (
    BasisRow,
    CollateralRow,
    DeriveTables,
    ForwardRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolRow,
    VolShockRow,
)
from tests.unit.protocols.derive.deployment import (
    ASK_FEED,
    AUCTION,
    CASH,
    COIN,
    FORWARD_FEED,
    LIB,
    MANAGER,
    NOW,
    OPTION,
    OTHER_LIB,
    PERP,
    PERP_FEED,
    RATE_FEED,
    SOON,
    SPOT_FEED,
    SUB_ACCOUNTS,
    VOL_FEED,
    Deployment,
    at,
    config,
    option_id,
)


ACCOUNTS = st.integers(1, 4)
NUMBERS = st.integers(-(10**24), 10**24)
NATURALS = st.integers(0, 10**24)
SOURCES = (SUB_ACCOUNTS, CASH, AUCTION, MANAGER, PERP, LIB)
FEEDS = (SPOT_FEED, PERP_FEED, ASK_FEED, FORWARD_FEED, VOL_FEED, RATE_FEED)
ADDRESSES = st.sampled_from([*SOURCES, *FEEDS, OPTION, COIN, OTHER_LIB, at(0), at(990)])


def rows(kind: Any) -> Any:
    return st.builds(kind, *[NATURALS] * len(kind._fields))


BY_TYPE: dict[Any, Any] = {int: NATURALS, str: ADDRESSES, bool: st.booleans()}
BY_NAME: dict[str, Any] = {
    "account": ACCOUNTS,
    "sub_id": st.sampled_from([0, option_id(SOON, 2_000, True), option_id(SOON, 2_100, False)]),
    "role": st.sampled_from(["spot", "stable", "forward", "vol", "rate", "perp"]),
    "scenarios": st.lists(rows(ScenarioRow), max_size=6).map(tuple),
    "rules": st.tuples(*[NATURALS] * 7),
    "after": NUMBERS,
    "before": NUMBERS,
    "interest": NUMBERS,
    "funding": NUMBERS,
    "pnl": NUMBERS,
    "mm": NUMBERS,
    "timestamp": st.sampled_from([0, NOW, NOW + 5, SOON]),
    "expiry": st.sampled_from([0, SOON]),
    "about": st.lists(ADDRESSES, max_size=2).map(tuple),
}
ROWS: dict[type, Any] = {
    ev.ForwardPosted: rows(ForwardRow),
    ev.VolPosted: rows(VolRow),
    ev.CollateralSet: st.builds(CollateralRow, st.booleans(), st.booleans(), NATURALS, NATURALS),
    ev.ParametersSet: st.one_of(*map(rows, (BasisRow, OtherRow, MarginRow, VolShockRow, SkewRow))),
}


def events_of(kind: Any) -> Any:
    """Any event of a class, of contracts that may say it and of others."""
    fields = dict(kind.__annotations__)
    parts = {
        name: ROWS[kind] if name == "row" else BY_NAME.get(name, BY_TYPE.get(its))
        for name, its in fields.items()
    }
    assert None not in parts.values(), f"{kind}: {parts}"
    return st.builds(kind, **parts)


EVENTS = st.one_of(*(events_of(kind) for kind in WRITERS))
BLOCKS = st.lists(st.lists(EVENTS, max_size=10), min_size=1, max_size=6)


class World:
    """A deployment with four accounts, and its fold."""

    def __init__(self) -> None:
        self.deployment = Deployment()
        for account in range(1, 5):
            self.deployment.account(account, 100.0)
        self.tables = self.deployment.tables
        self.folding = Fold(self.tables)

    def block(self, number: int, events: list[object]) -> None:
        self.tables.portfolio.undo.begin(number, f"0x{number:064x}")
        block = BlockSealed(1, number, "0x", "0x", NOW + number, 0, 0, True, 0, ())
        for event in events:
            self.folding.fold(event, block)

    def contents(self) -> Any:
        """Everything, with what depends on the path too: a rewind gives that back as well."""
        return self.tables.portfolio.contents(), list(self.tables.doubts.items())


@given(blocks=BLOCKS, back=st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_folds_are_taken_back_exactly_and_fold_again_to_the_same(
    blocks: list[list[object]], back: int
) -> None:
    world = World()
    states = [world.contents()]
    for number, events in enumerate(blocks, 2):
        world.block(number, events)
        states.append(world.contents())
    ancestor = max(1, 1 + len(blocks) - back)
    its_hash = world.tables.portfolio.undo.hash_at(ancestor)
    assert its_hash is not None
    world.tables.portfolio.undo.rewind(ancestor, its_hash)
    assert world.contents() == states[ancestor - 1]
    for number, events in enumerate(blocks[ancestor - 1 :], ancestor + 1):
        world.block(number, events)
        assert world.contents() == states[number - 1]


@given(blocks=BLOCKS)
@settings(max_examples=60, deadline=None)
def test_whatever_was_folded_can_be_recorded_and_read_back(blocks: list[list[object]]) -> None:
    world = World()
    for number, events in enumerate(blocks, 2):
        world.block(number, events)
    tip = world.tables.portfolio.tip
    assert tip is not None
    snapshot = dump(world.tables, *tip, NOW)
    portfolio = Portfolio()
    portfolio.undo.begin(*tip)
    tables = DeriveTables(portfolio, config())
    load(tables, snapshot)
    assert dump(tables, *tip, NOW) == snapshot
    assert portfolio.contents() == world.tables.portfolio.contents()
