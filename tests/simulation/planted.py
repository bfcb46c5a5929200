"""Bugs put into the keeper on purpose: a simulation that does not find them finds nothing.

Each is one small, plausible mistake, patched in for the length of a `with`. A run under it must
fail by the rule that is named beside it; the sound keeper passes the same seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import keeper.machine.assessing
import keeper.machine.machine
import keeper.machine.serving
from keeper.chain.sealing.completeness import Watchlist
from keeper.chain.sending.dispatch import Dispatch
from keeper.chain.sending.nurse import Nurse
from keeper.domain.events import BlockSealed, Log
from keeper.liquidation.mechanisms.dutch_auction import Auction
from keeper.liquidation.outbox import Outbox
from keeper.liquidation.priority import Appraised, Order, prioritise
from keeper.liquidation.triage import Triage
from keeper.portfolio.columns import Column
from keeper.portfolio.positions import Positions
from keeper.portfolio.tables import Table
from keeper.portfolio.undo import UndoLog
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.margins.readings import Readings


Plant = Callable[[], AbstractContextManager[None]]


@contextmanager
def _patched(holder: Any, name: str, new: Any) -> Iterator[None]:
    old = getattr(holder, name)
    setattr(holder, name, new)
    try:
        yield
    finally:
        setattr(holder, name, old)


def undo_forgotten_for_a_table() -> AbstractContextManager[None]:
    """Auctions are written without a word to the undo log."""
    sound = Table.set

    def write(self: Table[Any, Any], key: Any, value: Any) -> None:
        if not self.name.endswith(".auctions"):
            sound(self, key, value)
            return
        self._rows[key] = value
        self.version += 1

    return _patched(Table, "set", write)


def _unrecorded(forgotten: Callable[[Any], bool]) -> AbstractContextManager[None]:
    """The undo log is told nothing of what some tables write, one row or many."""
    sound = UndoLog.record

    def record(self: UndoLog, table: Any, key: object, old: object) -> None:
        if not forgotten(table):
            sound(self, table, key, old)

    return _patched(UndoLog, "record", record)


def undo_forgotten_for_cash() -> AbstractContextManager[None]:
    """Balances of cash are written without a word to the undo log."""
    return _unrecorded(lambda table: isinstance(table, Column) and table.name.endswith(".cash"))


def undo_forgotten_for_positions() -> AbstractContextManager[None]:
    """What an account holds is written without a word to the undo log."""
    return _unrecorded(lambda table: isinstance(table, Positions))


def log_dropped() -> AbstractContextManager[None]:
    """Every now and then a log is taken for one of no interest."""
    sound = Derive.decode

    def decode(self: Derive, log: Log) -> object | None:
        return None if int(log.transaction[-4:], 16) % 41 == 0 else sound(self, log)

    return _patched(Derive, "decode", decode)


def logs_of_a_block_reversed() -> AbstractContextManager[None]:
    """The logs of a block are folded last first."""
    sound = keeper.machine.machine.Machine._fold_block

    def fold(self: Any, block: BlockSealed) -> None:
        sound(self, replace(block, logs=block.logs[::-1]))

    return _patched(keeper.machine.machine.Machine, "_fold_block", fold)


def stale_quote_used() -> AbstractContextManager[None]:
    """A quote is taken at its word however old it is."""
    return _patched(Readings, "_fresh", lambda self, timestamp, rules: timestamp > 0)


def interest_forgotten() -> AbstractContextManager[None]:
    """Decisions are made on positions' worth with the sign of what accrued the wrong way."""
    sound = keeper.machine.assessing.Margined

    def margined(book: Any, stored: Any, accrued: Any, cleared: Any) -> Any:
        wrong = stored.with_cash(-200.0 - book.accrued)
        return sound(book, stored, wrong, cleared=cleared)

    return _patched(keeper.machine.assessing, "Margined", margined)


def breach_overlooked() -> AbstractContextManager[None]:
    """The last breach of a book is left out."""
    sound = keeper.machine.assessing.triage

    def triage(excess: Any, equity: Any, defined: Any) -> Triage:
        found = sound(excess, equity, defined)
        return found._replace(breaches=found.breaches[:-1])

    return _patched(keeper.machine.assessing, "triage", triage)


def bid_below_the_price() -> AbstractContextManager[None]:
    """A solvent auction is thought to ask for half of what it asks."""
    sound = Auction.discount
    return _patched(Auction, "discount", lambda self, at_s: 0.5 * sound(self, at_s))


def second_action_allowed() -> AbstractContextManager[None]:
    """The outbox forgets an account as soon as its command is older than two blocks."""
    sound = Outbox.free

    def free(self: Outbox, venue: str, account: int, number: int) -> bool:
        known = self._by_account.get((venue, account), {})
        if any(number - self._live[each].decided_number > 2 for each in known):
            del self._by_account[venue, account]
        return sound(self, venue, account, number)

    def close(self: Outbox, command_id: int) -> Any:
        live = self._live.pop(command_id, None)
        if live is not None:
            self._by_account.pop((live.venue, live.account), None)
        return live

    @contextmanager
    def both() -> Iterator[None]:
        with _patched(Outbox, "free", free), _patched(Outbox, "close", close):
            yield

    return both()


def cap_ignored() -> AbstractContextManager[None]:
    """A command may cost what it costs."""
    return _patched(
        keeper.machine.serving,
        "spend_cap_wei",
        lambda gas, value, price, *_: gas * price[0] * 20_000 + value,
    )


def order_by_chance() -> AbstractContextManager[None]:
    """Breaches are served in an order that the entries do not fix."""
    turn = 0

    def prioritised(appraised: Sequence[Appraised], order: Order) -> list[Appraised]:
        nonlocal turn
        turn += 1
        return prioritise(appraised, order)[:: -1 if turn % 2 else 1]

    return _patched(keeper.machine.serving, "prioritise", prioritised)


@contextmanager
def nonce_bumped_on_replacement() -> Iterator[None]:
    """A replacement is signed with the lane's next nonce, past the ledger; all are wanted soon."""

    async def bump(self: Dispatch, lane: Any, slot: Any) -> Any:
        fee = _Fee(slot.last.tip_wei * 2, slot.last.cap_wei * 2)
        transaction = self._pen.transaction(lane.next_nonce, fee, slot.intent)
        attempt = await self._pen.sign(lane, transaction, slot.last.seq + 1, "act")
        await self.send(attempt)
        return slot

    async def is_weak(self: Nurse, slot: Any, age: int, *, its_turn: bool) -> bool:
        return age >= 1

    with _patched(Dispatch, "bump", bump), _patched(Nurse, "_is_weak", is_weak):
        yield


class _Fee:
    def __init__(self, tip_wei: int, cap_wei: int) -> None:
        self.tip_wei = tip_wei
        self.cap_wei = cap_wei


def empty_answer_believed() -> AbstractContextManager[None]:
    """The bloom of a header is not looked at: no logs are no logs."""
    return _patched(Watchlist, "unheard", lambda self, bloom, found: False)


# The bug, and the rules any of which finds it; the pure machine's, then the shell's.
MACHINE_PLANTS: dict[str, tuple[Plant, tuple[str, ...]]] = {
    "undo_forgotten_for_a_table": (
        undo_forgotten_for_a_table,
        ("state_equals_snapshot", "undo_then_redo"),
    ),
    "undo_forgotten_for_cash": (undo_forgotten_for_cash, ("state_equals_snapshot",)),
    "undo_forgotten_for_positions": (
        undo_forgotten_for_positions,
        ("state_equals_snapshot",),
    ),
    "log_dropped": (log_dropped, ("state_equals_snapshot",)),
    "logs_of_a_block_reversed": (logs_of_a_block_reversed, ("state_equals_snapshot",)),
    "stale_quote_used": (
        stale_quote_used,
        ("no_start_without_a_margin", "undecided_is_what_reverts", "only_what_the_venue_accepts"),
    ),
    "interest_forgotten": (
        interest_forgotten,
        ("no_healthy_account_is_liquidated", "only_what_the_venue_accepts"),
    ),
    "breach_overlooked": (breach_overlooked, ("every_breach_is_seen", "every_breach_is_submitted")),
    "bid_below_the_price": (bid_below_the_price, ("only_what_the_venue_accepts",)),
    "second_action_allowed": (second_action_allowed, ("one_live_action",)),
    "cap_ignored": (cap_ignored, ("spend_cap",)),
    "order_by_chance": (order_by_chance, ("replay_equals_record",)),
}
SHELL_PLANTS: dict[str, tuple[Plant, tuple[str, ...]]] = {
    "nonce_bumped_on_replacement": (
        nonce_bumped_on_replacement,
        ("one_live_action", "lanes_come_back"),
    ),
    "empty_answer_believed": (empty_answer_believed, ("state_equals_snapshot",)),
    "undo_forgotten_for_a_table": (undo_forgotten_for_a_table, ("state_equals_snapshot",)),
    "log_dropped": (log_dropped, ("state_equals_snapshot",)),
}
