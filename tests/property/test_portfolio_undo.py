"""Undo exactness: a rewind gives the state before whatever was written, a redo the same again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.units import WAD
from keeper.portfolio.instruments import Instrument
from keeper.portfolio.state import Portfolio


class Row(NamedTuple):
    """A row of a small table."""

    number: int
    word: str


Write = tuple[str, int, int, int]

VALUES = st.one_of(
    st.integers(-3, 3),
    st.integers(-(10**20), 10**20),
    st.sampled_from([WAD, -WAD, WAD - 1, -WAD - 1, 9 * 10**36]),
)
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "column", "position", "position"]),
        st.integers(0, 4),
        st.integers(0, 11),
        VALUES,
    ),
    max_size=12,
)
BLOCKS = st.lists(WRITES, min_size=1, max_size=8)


class World:
    """A portfolio with one of everything."""

    def __init__(self) -> None:
        self.portfolio = Portfolio()
        self.table = self.portfolio.table("rows", Row)
        self.column = self.portfolio.column("exact")
        self.portfolio.undo.begin(0, "0x0")

    def apply(self, write: Write) -> None:
        kind, account, instrument, value = write
        row = self.portfolio.accounts.row("venue", account)
        if kind == "set":
            self.table.set(account, Row(value, str(instrument)))
        elif kind == "delete":
            self.table.delete(account)
        elif kind == "column":
            self.column.set(row, value)
        else:
            listed = Instrument("venue", "ETH", 0, 0, (instrument * 7) % 12, 0, "0x", instrument)
            self.portfolio.positions.set(row, self.portfolio.instruments.row(listed), value)

    def block(self, number: int, writes: list[Write]) -> None:
        self.portfolio.undo.begin(number, f"0x{number}")
        for write in writes:
            self.apply(write)

    def seen(self) -> Any:
        """Everything a reader can see, the compact book of margin included."""
        accounts = np.arange(len(self.portfolio.accounts), dtype=np.int64)
        start, instrument, places = self.portfolio.positions.places(accounts)
        quantity = self.portfolio.positions.quantities(places)
        book = [
            (self.portfolio.accounts.key(row), self.portfolio.instruments[each], value)
            for row in range(len(accounts))
            for each, value in zip(
                instrument[start[row] : start[row + 1]],
                quantity[start[row] : start[row + 1]],
                strict=True,
            )
        ]
        floats = {
            self.portfolio.accounts.key(row): value
            for row, value in enumerate(self.column.floats(accounts).tolist())
            if value
        }
        total = self.portfolio.positions.total
        assert total == len(book)
        # Accounts sorted by name: row numbers depend on who was seen first, also on a lost branch.
        return self.portfolio.contents(), sorted(book, key=lambda line: line[0]), floats


@given(blocks=BLOCKS, back=st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_a_rewind_gives_the_state_before_and_a_redo_the_same_again(
    blocks: list[list[Write]], back: int
) -> None:
    world = World()
    states = [world.seen()]
    for number, writes in enumerate(blocks, 1):
        world.block(number, writes)
        states.append(world.seen())
    ancestor = max(0, len(blocks) - back)
    world.portfolio.undo.rewind(ancestor, f"0x{ancestor}")
    assert world.seen() == states[ancestor]
    for number, writes in enumerate(blocks[ancestor:], ancestor + 1):
        world.block(number, writes)
        assert world.seen() == states[number]


@given(shared=BLOCKS, left=BLOCKS, right=BLOCKS)
@settings(max_examples=100, deadline=None)
def test_a_branch_that_was_left_leaves_no_trace(
    shared: list[list[Write]], left: list[list[Write]], right: list[list[Write]]
) -> None:
    world, straight = World(), World()
    for each in (world, straight):
        for number, writes in enumerate(shared, 1):
            each.block(number, writes)
    for number, writes in enumerate(left, len(shared) + 1):
        world.block(number, writes)
    world.portfolio.undo.rewind(len(shared), f"0x{len(shared)}")
    for each in (world, straight):
        for number, writes in enumerate(right, len(shared) + 1):
            each.block(number, writes)
    assert world.seen() == straight.seen()


@given(writes=WRITES)
@settings(max_examples=100, deadline=None)
def test_positions_are_what_a_plain_mapping_would_hold(writes: list[Write]) -> None:
    world = World()
    world.block(1, writes)
    plain: dict[tuple[int, int], int] = {}
    for kind, account, instrument, value in writes:
        if kind == "position":
            plain[account, instrument] = value
    for (account, instrument), value in plain.items():
        row = world.portfolio.accounts.row("venue", account)
        held = {
            world.portfolio.instruments[each].sub_id: quantity
            for each, quantity in world.portfolio.positions.held(row)
        }
        assert held.get(instrument, 0) == value


def test_the_check_itself_finds_a_write_past_the_log() -> None:
    world = World()
    before = world.seen()
    world.block(1, [("set", 1, 1, 1)])
    restore: Callable[[object, object], None] = world.table.restore
    restore(2, Row(5, "unlogged"))
    world.portfolio.undo.rewind(0, "0x0")
    assert world.seen() != before
