"""What to ask of accounts for a snapshot: who they are, what they hold, what is sold of them.

Pure, in the manner of `survey`.
"""

from collections.abc import Sequence

from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.abi import call
from keeper.protocols.derive.tables import AuctionRow, CollateralRow, DeriveTables
from keeper.protocols.derive.views.survey import Answer, Survey, read, rows_of
from keeper.protocols.derive.wiring import NOWHERE
from keeper.protocols.derive.words import address, signed, unsigned


def accounts(
    tables: DeriveTables, ids: Sequence[AccountId], with_libs: frozenset[Address]
) -> Survey:
    """Read accounts: who they are and what they hold; `with_libs` are managers with overrides."""
    hub = tables.config.sub_accounts
    answers = yield [
        ask
        for account in ids
        for ask in (
            (hub, call("manager", account)),
            (hub, call("ownerOf", account)),
            (hub, call("getAccountBalances", account)),
        )
    ]
    for index, account in enumerate(ids):
        manager, owner, balances = answers[3 * index : 3 * index + 3]
        _account_row(tables, account, manager, owner)
        _balances(tables, account, balances)
    with_cash = [account for account in ids if tables.cash.get(tables.row(account))]
    yield from _interest(tables, with_cash)
    served = [account for account in ids if tables.accounts[account] in tables.managers]
    yield from _perpetuals(tables, served)
    yield from _auctions(tables, served)
    yield from _overrides(tables, [each for each in served if tables.accounts[each] in with_libs])


def _account_row(tables: DeriveTables, account: AccountId, manager: Answer, owner: Answer) -> None:
    (address_of,) = read(tables.config.sub_accounts, "manager", manager, "a")
    held_by = str(address_of)
    tables.accounts.set(account, held_by)
    # A token that was burned has no owner; whoever reads the row finds nobody.
    tables.owners.set(account, NOWHERE if owner is None else address(owner))
    if held_by not in tables.managers:
        tables.unsupported.set(held_by, (tables.unsupported.get(held_by) or 0) + 1)


def _balances(tables: DeriveTables, account: AccountId, answer: Answer) -> None:
    raw, count = rows_of(tables.config.sub_accounts, "getAccountBalances", answer)
    manager = tables.accounts[account]
    row = tables.row(account)
    for at in range(2, 2 + 3 * count, 3):
        asset, sub_id = address(raw, at), unsigned(raw, at + 1, 96)
        quantity = signed(raw, at + 2, 240)
        if asset == tables.config.cash:
            tables.cash.set(row, quantity)
        elif manager in tables.managers:
            held = tables.instrument(manager, asset, sub_id)
            tables.portfolio.positions.set(row, held, quantity)


def _interest(tables: DeriveTables, ids: Sequence[AccountId]) -> Survey:
    cash = tables.config.cash
    answers = yield [(cash, call("accountIdIndex", account)) for account in ids]
    for account, answer in zip(ids, answers, strict=True):
        (index,) = read(cash, "accountIdIndex", answer, "u")
        tables.cash_index.set(tables.row(account), int(index))


def _perpetuals(tables: DeriveTables, ids: Sequence[AccountId]) -> Survey:
    perps = [(each, tables.managers[tables.accounts[each]].perp) for each in ids]
    held = [(account, perp) for account, perp in perps if perp != NOWHERE]
    answers = yield [(perp, call("positions", account)) for account, perp in held]
    for (account, perp), answer in zip(held, answers, strict=True):
        mark, funding, pnl, aggregated = map(int, read(perp, "positions", answer, "u i i i"))
        row = tables.row(account)
        for column, value in (
            (tables.perp_mark, mark),
            (tables.perp_funding, funding),
            (tables.perp_pnl, pnl),
            (tables.perp_aggregated, aggregated),
        ):
            if value:
                column.set(row, value)


def _auctions(tables: DeriveTables, ids: Sequence[AccountId]) -> Survey:
    auction = tables.config.auction
    answers = yield [(auction, call("getAuction", account)) for account in ids]
    for account, answer in zip(ids, answers, strict=True):
        words = read(auction, "getAuction", answer, "u u b b u u u")
        _, scenario, insolvent, ongoing, cached_mm, started_at, reserved = words
        if ongoing:
            row = AuctionRow(
                int(scenario), bool(insolvent), int(started_at), int(cached_mm), int(reserved)
            )
            tables.auctions.set(account, row)


def _overrides(tables: DeriveTables, ids: Sequence[AccountId]) -> Survey:
    answers = yield [(tables.accounts[each], call("getAccountLib", each)) for each in ids]
    for account, answer in zip(ids, answers, strict=True):
        manager = tables.accounts[account]
        lib = str(read(manager, "getAccountLib", answer, "a")[0])
        if lib not in (NOWHERE, tables.managers[manager].lib):
            tables.overrides.set(account, lib)


def collaterals(tables: DeriveTables, found: Sequence[tuple[Address, Address]]) -> Survey:
    """Read (manager, asset) pairs: the price feed, and the treatment by each lib in use."""
    answers = yield [(manager, call("collateralSpotFeeds", asset)) for manager, asset in found]
    for pair, answer in zip(found, answers, strict=True):
        feed = str(read(pair[0], "collateralSpotFeeds", answer, "a")[0])
        if feed != NOWHERE:
            tables.collateral_feeds.set(pair, feed)
    wanted = sorted({(lib, asset) for manager, asset in found for lib in _libs(tables, manager)})
    answers = yield [(lib, call("getCollateralParameters", asset)) for lib, asset in wanted]
    for pair, answer in zip(wanted, answers, strict=True):
        words = read(pair[0], "getCollateralParameters", answer, "b b u u")
        # All zeros is what a lib says of any address; a row would only say that we asked.
        if any(words):
            tables.collaterals.set(pair, CollateralRow._make(words))


def _libs(tables: DeriveTables, manager: Address) -> list[Address]:
    overridden = [
        lib for account, lib in tables.overrides.items() if tables.accounts[account] == manager
    ]
    return [tables.managers[manager].lib, *overridden]
