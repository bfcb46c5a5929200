"""A block's logs into tables: the commonest ones at once, everything else one by one.

What it leaves behind is what folding log by log leaves. Hot writes commute with each other but for
those to one cell, whose last one counts, and for running totals, which are added in log order; a
log that moves what hot logs read (`ASIDE` does not) is folded in its place, after all before it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import UndecodableLog
from keeper.domain.events import BlockSealed, Log
from keeper.domain.logs import NONE, Places
from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.abi import TOPIC
from keeper.protocols.derive.logs.fold_accounts import with_totals
from keeper.protocols.derive.logs.fold_quotes import holds
from keeper.protocols.derive.logs.hot_logs import (
    BALANCE,
    CLEARED,
    FUNDED,
    INTEREST,
    SETTLED,
    HotLogs,
    Numbers,
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
Flags = NDArray[np.bool_]


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
    """One block under way: up to `_done` everything is folded, after it only what was `_passed`."""

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
        self._passed: dict[int, None] = {}

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
            self._passed[at] = None
        self._reach(len(self._logs))

    def _reach(self, end: int) -> None:
        """Fold the hot logs up to index `end`."""
        count = end - self._done - len(self._passed)
        if count >= self._least:
            runs = {topic: run.between(self._done, end) for topic, run in self._hot.runs.items()}
            Writing(self._tables, self._hot, self._block.timestamp).write(runs)
        elif count:
            here = [at for at in range(self._done, end) if at not in self._passed]
            fold_each(self._folding, [self._logs[at] for at in here], self._block)
        self._done = end
        self._passed.clear()


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
        self._row = np.full(len(hot.columns.words), NONE, np.int64)  # account row by its topic
        self._own: dict[tuple[AccountId, Address], int] = {}

    def write(self, runs: dict[str, Run]) -> None:
        """Write these of the hot logs."""
        interest, balances = runs[INTEREST], runs[BALANCE]
        is_cash = self._are_cash(balances.topics[:, 3])
        paid = np.flatnonzero(is_cash)
        owner = self._rows(interest.topics[:, 1])
        self._tables.cash_index.set_many(_cells(owner, interest.second, _last(owner)))
        owner, after = self._rows(balances.topics[paid, 1]), balances.first.at(paid)
        self._tables.cash.set_many(_cells(owner, after, _last(owner)))
        self._write_positions(balances, np.flatnonzero(~is_cash))
        self._write_totals(interest, balances.at[paid], after)
        self._write_perps(runs[SETTLED], runs[FUNDED], runs[CLEARED])

    def _write_positions(self, run: Run, logs: Places) -> None:
        """Write what accounts that are served hold after these balances, which are not cash."""
        words = len(self._hot.columns.words)
        pairs, pair = np.unique(
            run.topics[logs, 2] * words + run.topics[logs, 3], return_inverse=True
        )
        listed = [self._instrument(*divmod(each, words)) for each in pairs.tolist()]
        instrument = np.array(listed, np.int64)[pair]
        served = instrument != NONE
        logs, instrument = logs[served], instrument[served]
        owner = self._rows(run.topics[logs, 1])
        # Two managers may list one instrument: of one account's, the last write stands.
        last = _last(owner * (instrument.max(initial=0) + 1) + instrument)
        cells = zip(owner[last].tolist(), instrument[last].tolist(), strict=True)
        after = run.first.at(logs[last]).ints()
        self._tables.portfolio.positions.set_many(dict(zip(cells, after, strict=True)))

    def _write_totals(self, interest: Run, at: Places, after: Numbers) -> None:
        """Move cash's totals as accounts leave them and come back; see `fold_accounts`."""
        where = np.append(interest.at, at)
        if not where.size:
            return
        order = np.argsort(where)
        comes_back = (order >= len(interest.at)).tolist()
        balances = interest.first.then(after).at(order).ints()
        cash = self._tables.config.cash
        row = self._tables.cash_state[cash]
        supply, borrow = row.supply, row.borrow
        for back, balance in zip(comes_back, balances, strict=True):
            if balance > 0:
                supply += balance if back else -balance
            else:
                borrow -= balance if back else -balance
            if back and supply < 0:
                supply = 0
            if back and borrow < 0:
                borrow = 0
        accrued_at = 0 if comes_back[-1] and borrow <= 0 else self._now
        self._tables.cash_state.set(cash, with_totals(row, supply, borrow, accrued_at))

    def _write_perps(self, settled: Run, funded: Run, cleared: Run) -> None:
        """Write marks, profit and funding of the accounts whose own perpetual it is.

        Who is cleared holds neither profit nor funding, whatever stood there before.
        """
        tables = self._tables
        settled, of_settled = self._owned(settled, self._named(settled))
        funded, of_funded = self._owned(funded, funded.account.ints())
        cleared, of_cleared = self._owned(cleared, self._named(cleared))
        last = _last(of_settled)
        tables.perp_mark.set_many(_cells(of_settled, settled.second, last))
        owner, at = np.append(of_settled, of_cleared), np.append(settled.at, cleared.at)
        order = np.argsort(at)
        last = order[_last(owner[order])]
        tables.perp_pnl.set_many(_cells(owner, settled.first.then(cleared.first), last))
        closed = dict(zip(of_cleared.tolist(), cleared.at.tolist(), strict=True))
        funding = dict.fromkeys(closed, 0)
        logs = zip(of_funded.tolist(), funded.at.tolist(), funded.first.ints(), strict=True)
        for row, place, paid in logs:
            if place > closed.get(row, NONE):
                before = funding[row] if row in funding else tables.perp_funding.get(row)
                funding[row] = before + paid
        tables.perp_funding.set_many(funding)
        last = _last(of_funded)
        tables.perp_aggregated.set_many(_cells(of_funded, funded.second, last))

    def _named(self, run: Run) -> Iterable[AccountId]:
        """Return the accounts that topics name."""
        return map(self._hot.accounts.__getitem__, run.topics[:, 1].tolist())

    def _owned(self, run: Run, accounts: Iterable[AccountId]) -> tuple[Run, Places]:
        """Return those of a perpetual's logs whose account has it as its own, and their rows."""
        sources = map(self._hot.columns.addresses.__getitem__, run.sources.tolist())
        rows = np.array([*map(self._own_row, accounts, sources)], np.int64)
        own = np.flatnonzero(rows != NONE)
        return run.some(own), rows[own]

    def _are_cash(self, assets: Places) -> Flags:
        """Return which of the assets that topics name are cash."""
        are = np.zeros(len(self._row), bool)
        cash = self._tables.config.cash
        are[[place for place, (asset, _) in self._hot.assets.items() if asset == cash]] = True
        return are[assets]

    def _instrument(self, manager: int, asset: int) -> int:
        """Return the instrument that two topics mean, NONE where the manager is not served."""
        its = self._hot.managers[manager]
        if its not in self._tables.managers:
            return NONE
        return self._tables.instrument(its, *self._hot.assets[asset])

    def _rows(self, accounts: Places) -> Places:
        """Return the rows of the accounts that topics name."""
        found = self._row[accounts]
        for place in dict.fromkeys(accounts[found == NONE].tolist()):
            self._row[place] = self._tables.row(self._hot.accounts[place])
        return self._row[accounts]

    def _own_row(self, account: AccountId, perp: Address) -> int:
        """Return an account's row where this is its own perpetual, else NONE."""
        key = (account, perp)
        if key not in self._own:
            own = holds(self._tables, account, perp)
            self._own[key] = self._tables.row(account) if own else NONE
        return self._own[key]


def _cells(rows: Places, values: Numbers, last: Places) -> Cells:
    """Return what was written `last` to each row."""
    return dict(zip(rows[last].tolist(), values.at(last).ints(), strict=True))


def _last(keys: Places) -> Places:
    """Return where each key stands for the last time."""
    order = np.argsort(keys, kind="stable")
    ends = np.append(np.diff(keys[order]) != 0, True)
    return order[ends] if keys.size else order
