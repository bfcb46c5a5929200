"""A block's logs into tables: the commonest ones at once, everything else one by one.

What it leaves behind is what folding log by log leaves. Hot writes commute with each other but for
those to one cell, whose last one counts, and for running totals, which are added in log order; a
log that moves what hot logs read (`ASIDE` does not) is folded in its place, after all before it.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Final

from keeper.domain.errors import UndecodableLog
from keeper.domain.events import BlockSealed, Log
from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.abi import TOPIC
from keeper.protocols.derive.fold_accounts import with_totals
from keeper.protocols.derive.fold_quotes import holds
from keeper.protocols.derive.hot_logs import (
    BALANCE,
    CLEARED,
    FUNDED,
    INTEREST,
    SETTLED,
    HotLogs,
    Run,
    read_hot,
)
from keeper.protocols.derive.tables import DeriveTables
from keeper.venue import Folding, fold_each


# Fewer are folded one by one: reading columns costs a third of a millisecond whatever their length.
LEAST: Final = 128
# They read and write nothing that a hot log writes or reads, so they may be folded before it.
ASIDE: Final = frozenset(
    TOPIC[name]
    for name in (
        "Transfer",
        "SettledCashUpdated",
        "AggregatedFundingUpdated",
        "SpotPriceUpdated",
        "SpotDiffUpdated",
        "ForwardDataUpdated",
        "VolDataUpdated",
        "RateUpdated",
    )
)

Cells = dict[int, int]  # account row -> value


def fold_logs(
    folding: Folding,
    tables: DeriveTables,
    logs: Sequence[Log],
    block: BlockSealed,
    least: int = LEAST,
) -> None:
    """Fold a block's logs in order; at once where there are `least` hot ones or more in a row.

    Raises UndecodableLog for the first one that does not fit: all before it are folded, none after.
    """
    hot = None if len(logs) < least else read_hot(logs, _sources(tables))
    if hot is None:
        fold_each(folding, logs, block)
    else:
        _Block(folding, tables, logs, block, hot, least).fold()


class _Block:
    """One block under way: up to `_done` everything is folded, after it only what stood aside."""

    def __init__(
        self,
        folding: Folding,
        tables: DeriveTables,
        logs: Sequence[Log],
        block: BlockSealed,
        hot: HotLogs,
        least: int,
    ) -> None:
        self._folding = folding
        self._tables = tables
        self._logs = logs
        self._block = block
        self._hot = hot
        self._least = least
        self._done = 0

    def fold(self) -> None:
        """Fold all of it; raises UndecodableLog."""
        for at in self._hot.others:
            log = self._logs[at]
            if log.topics and log.topics[0] not in ASIDE:
                self._reach(at)
            try:
                fold_each(self._folding, (log,), self._block)
            except UndecodableLog:
                self._reach(at)
                raise
        self._reach(len(self._logs))

    def _reach(self, end: int) -> None:
        """Fold the hot logs up to index `end`."""
        runs = {topic: run.between(self._done, end) for topic, run in self._hot.runs.items()}
        count = sum(len(run.at) for run in runs.values())
        if count >= self._least:
            Writing(self._tables, self._hot, self._block.timestamp).write(runs)
        elif count:
            places = sorted(at for run in runs.values() for at in run.at)
            fold_each(self._folding, [self._logs[at] for at in places], self._block)
        self._done = end


def _sources(tables: DeriveTables) -> dict[str, Sequence[Address]]:
    """Return whose hot logs are ours; nobody's cash is, before its state was ever read."""
    config, perps = tables.config, [address for address, _ in tables.perps.items()]
    known = config.cash in tables.cash_state
    return {
        BALANCE: [config.sub_accounts] if known else [],
        INTEREST: [config.cash] if known else [],
        SETTLED: perps,
        FUNDED: perps,
        CLEARED: perps,
    }


class Writing:
    """Writes hot logs of one block between which no other stands that they could not pass."""

    def __init__(self, tables: DeriveTables, hot: HotLogs, now: int) -> None:
        self._tables = tables
        self._hot = hot
        self._now = now
        self._rows: dict[str, int] = {}
        self._own: dict[tuple[AccountId, Address], int | None] = {}
        cash = tables.config.cash
        self._cash = {topic for topic, (asset, _) in hot.assets.items() if asset == cash}

    def write(self, runs: dict[str, Run]) -> None:
        """Write these of the hot logs."""
        interest = runs[INTEREST]
        moves: list[tuple[int, bool, int]] = []
        if interest.at:
            moves += zip(interest.at, repeat(False), interest.first, strict=False)
            known = dict(zip(interest.topics[1], interest.second, strict=True))
            indexes = {self._row(account): each for account, each in known.items()}
            self._tables.cash_index.set_many(indexes)
        if runs[BALANCE].at:
            moves += self._write_balances(runs[BALANCE])
        self._write_totals(moves)
        self._write_perps([runs[SETTLED], runs[FUNDED], runs[CLEARED]])

    def _write_balances(self, run: Run) -> list[tuple[int, bool, int]]:
        """Write everybody's cash, and the positions of accounts that are served.

        Returns (index of the log, True, balance after) of cash.
        """
        moves: list[tuple[int, bool, int]] = []
        cash: dict[str, int] = {}
        held: dict[tuple[str, str, str], int] = {}
        is_cash, several = self._cash, len(self._hot.managers) > 1
        for at, account, manager, asset, after in zip(
            run.at, *run.topics[1:], run.first, strict=True
        ):
            if asset in is_cash:
                moves.append((at, True, after))
                cash[account] = after
            else:
                key = (account, manager, asset)
                if several:  # two of them may list one instrument: the last write stands last
                    held.pop(key, None)
                held[key] = after
        self._tables.cash.set_many({self._row(account): after for account, after in cash.items()})
        self._write_positions(held)
        return moves

    def _write_positions(self, held: dict[tuple[str, str, str], int]) -> None:
        """Write what is held by the topics (account, manager, asset)."""
        tables, hot, rows = self._tables, self._hot, self._rows
        listed: dict[tuple[str, str], int | None] = {}
        positions: dict[tuple[int, int], int] = {}
        for (account, manager, asset), after in held.items():
            key = (manager, asset)
            if key not in listed:
                its = hot.managers[manager]
                served = its in tables.managers
                listed[key] = tables.instrument(its, *hot.assets[asset]) if served else None
            instrument = listed[key]
            if instrument is not None:
                row = rows.get(account)
                positions[self._row(account) if row is None else row, instrument] = after
        tables.portfolio.positions.set_many(positions)

    def _write_totals(self, moves: list[tuple[int, bool, int]]) -> None:
        """Move cash's totals as accounts leave them (False) and come back; see `fold_accounts`."""
        if not moves:
            return
        moves.sort()
        cash = self._tables.config.cash
        row = self._tables.cash_state[cash]
        supply, borrow = row.supply, row.borrow
        for _, back, balance in moves:
            if balance > 0:
                supply += balance if back else -balance
            else:
                borrow -= balance if back else -balance
            if back and supply < 0:
                supply = 0
            if back and borrow < 0:
                borrow = 0
        accrued_at = 0 if moves[-1][1] and borrow <= 0 else self._now
        self._tables.cash_state.set(cash, with_totals(row, supply, borrow, accrued_at))

    def _write_perps(self, runs: Sequence[Run]) -> None:
        """Write marks, profit and funding of the accounts whose own perpetual it is."""
        mark: Cells = {}
        profit: Cells = {}
        funding: Cells = {}
        aggregated: Cells = {}
        stored = self._tables.perp_funding
        for _, topic, account, source, first, second in sorted(chain(*map(self._said, runs))):
            row = self._own_row(account, source)
            if row is None:
                continue
            if topic == SETTLED:
                profit[row], mark[row] = first, second
            elif topic == FUNDED:
                before = funding[row] if row in funding else stored.get(row)
                funding[row], aggregated[row] = before + first, second
            else:
                profit[row] = funding[row] = 0
        tables = self._tables
        tables.perp_mark.set_many(mark)
        tables.perp_pnl.set_many(profit)
        tables.perp_funding.set_many(funding)
        tables.perp_aggregated.set_many(aggregated)

    def _said(self, run: Run) -> Iterable[tuple[int, str, AccountId, Address, int, int]]:
        """Return (index of the log, topic, account, source, first, second) of a perpetual's."""
        if not run.at:
            return ()
        accounts = run.account
        if len(run.topics) > 1:
            accounts = list(map(self._hot.accounts.__getitem__, run.topics[1]))
        parts = (run.at, run.topics[0], accounts, run.sources, run.first, run.second)
        return zip(*parts, strict=True)

    def _row(self, topic: str) -> int:
        """Return the row of the account that a topic names."""
        row = self._rows.get(topic)
        if row is None:
            row = self._rows[topic] = self._tables.row(self._hot.accounts[topic])
        return row

    def _own_row(self, account: AccountId, perp: Address) -> int | None:
        """Return an account's row where this is its own perpetual."""
        key = (account, perp)
        if key not in self._own:
            own = holds(self._tables, account, perp)
            self._own[key] = self._tables.row(account) if own else None
        return self._own[key]
