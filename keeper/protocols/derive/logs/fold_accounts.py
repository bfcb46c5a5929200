"""Events of accounts, balances, cash and auctions into tables.

A writer takes the tables, an event and the block's timestamp, and returns notices where there is
something to tell. Events of other contracts than ours write nothing.
"""

from collections.abc import Callable
from typing import Any, Final

from keeper.domain.effects import Notice
from keeper.domain.units import WAD, Address
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.tables import AuctionRow, CashRow, DeriveTables


# ── accounts and balances ──


def account_created(tables: DeriveTables, event: ev.AccountCreated, _: int) -> tuple[Notice, ...]:
    """Note an account; one under a manager that is not served is counted, the first is told."""
    if event.source != tables.config.sub_accounts:
        return ()
    tables.accounts.set(event.account, event.manager)
    tables.owners.set(event.account, event.owner)
    tables.row(event.account)
    if event.manager in tables.managers:
        return ()
    seen = tables.unsupported.get(event.manager) or 0
    tables.unsupported.set(event.manager, seen + 1)
    if seen:
        return ()
    fields = (("venue", tables.name), ("manager", event.manager))
    return (Notice("manager_unsupported", "warning", fields),)


def owner_changed(tables: DeriveTables, event: ev.OwnerChanged, _: int) -> None:
    """Note an account's owner."""
    if event.source == tables.config.sub_accounts:
        tables.owners.set(event.account, event.owner)


def balance_adjusted(tables: DeriveTables, event: ev.BalanceAdjusted, now: int) -> None:
    """Write a balance: everybody's cash, and the positions of accounts that are served."""
    if event.source != tables.config.sub_accounts:
        return
    if event.asset == tables.config.cash:
        _cash_adjusted(tables, event, now)
    elif event.manager in tables.managers:
        instrument = tables.instrument(event.manager, event.asset, event.sub_id)
        tables.portfolio.positions.set(tables.row(event.account), instrument, event.after)


def _cash_adjusted(tables: DeriveTables, event: ev.BalanceAdjusted, now: int) -> None:
    """Let the account's new balance into the totals it left when its interest was settled."""
    tables.cash.set(tables.row(event.account), event.after)
    row = tables.cash_state.get(event.asset)
    if row is not None:
        # Truncation to a wei for each account: the contract's totals stop at zero too.
        supply, borrow, after = row.supply, row.borrow, event.after
        if after > 0:
            supply += after
        else:
            borrow -= after
        supply, borrow = max(0, supply), max(0, borrow)
        at = now if borrow > 0 else 0
        tables.cash_state.set(event.asset, with_totals(row, supply, borrow, at))


# ── cash ──


def account_interest(tables: DeriveTables, event: ev.AccountInterestAccrued, now: int) -> None:
    """Write an account's index, and take its balance out of the totals until it is back."""
    row = tables.cash_state.get(event.source)
    if row is None:
        return
    tables.cash_index.set(tables.row(event.account), event.account_index)
    before, supply, borrow = event.before + event.interest, row.supply, row.borrow
    if before > 0:
        supply -= before
    else:
        borrow += before
    tables.cash_state.set(event.source, with_totals(row, supply, borrow, now))


def with_totals(row: CashRow, supply: int, borrow: int, accrued_at: int) -> CashRow:
    """Return the row with other totals: by place, because a busy block asks for thousands."""
    _, _, borrow_index, supply_index, _, *fees = row
    return CashRow._make((supply, borrow, borrow_index, supply_index, accrued_at, *fees))


def interest_accrued(tables: DeriveTables, event: ev.InterestAccrued, now: int) -> None:
    """Write totals and indexes."""
    row = tables.cash_state.get(event.source)
    if row is not None:
        moved = row._replace(
            supply=event.supply,
            borrow=event.borrow,
            borrow_index=event.borrow_index,
            supply_index=event.supply_index,
        )
        _cash_set(tables, event.source, moved, now)


def cash_printed(tables: DeriveTables, event: ev.CashPrinted, _: int) -> None:
    """Write the net printed cash."""
    row = tables.cash_state.get(event.source)
    if row is not None:
        tables.cash_state.set(event.source, row._replace(printed=event.total))


def fee_set(tables: DeriveTables, event: ev.FeeSet, _: int) -> None:
    """Write the security module's share."""
    row = tables.cash_state.get(event.source)
    if row is not None:
        tables.cash_state.set(event.source, row._replace(fee=event.fee))


def withdraw_fee_enabled(tables: DeriveTables, event: ev.WithdrawFeeEnabled, _: int) -> None:
    """Give all interest to the security module; a repeated loss must not lose the old fee."""
    row = tables.cash_state.get(event.source)
    if row is not None and not row.fee_forced:
        forced = row._replace(fee=WAD, fee_before=row.fee, fee_forced=True)
        tables.cash_state.set(event.source, forced)


def withdraw_fee_disabled(tables: DeriveTables, event: ev.WithdrawFeeDisabled, _: int) -> None:
    """Take the old fee back, where the event is not the empty one anybody can cause."""
    row = tables.cash_state.get(event.source)
    if row is not None and row.fee_forced and event.rate >= WAD:
        freed = row._replace(fee=row.fee_before, fee_forced=False)
        tables.cash_state.set(event.source, freed)


def _cash_set(tables: DeriveTables, source: Address, row: CashRow, now: int) -> None:
    """Write the state; the time of an accrual means nothing while nothing is borrowed."""
    at = now if row.borrow > 0 else 0
    tables.cash_state.set(source, row._replace(accrued_at=at))


# ── auctions ──


def solvent_started(tables: DeriveTables, event: ev.SolventAuctionStarted, now: int) -> None:
    """Write a new auction."""
    if event.source == tables.config.auction:
        tables.auctions.set(event.account, AuctionRow(event.scenario, False, now, 0, 0))


def insolvent_started(tables: DeriveTables, event: ev.InsolventAuctionStarted, now: int) -> None:
    """Write a new auction, also over a solvent one: a conversion tells no end of that."""
    if event.source == tables.config.auction:
        row = AuctionRow(event.scenario, True, now, -event.mm, 0)
        tables.auctions.set(event.account, row)


def bid_won(tables: DeriveTables, event: ev.BidWon, _: int) -> None:
    """Reserve what a bidder paid; the bid that ended its auction has none left to change."""
    row = _auction(tables, event.source, event.account)
    if row is not None:
        tables.auctions.set(event.account, row._replace(reserved=row.reserved + event.paid))


def auction_ended(tables: DeriveTables, event: ev.AuctionEnded, _: int) -> None:
    """Forget an auction."""
    if event.source == tables.config.auction:
        tables.auctions.delete(event.account)


def scenario_updated(tables: DeriveTables, event: ev.ScenarioUpdated, _: int) -> None:
    """Write the scenario an auction runs under."""
    row = _auction(tables, event.source, event.account)
    if row is not None:
        tables.auctions.set(event.account, row._replace(scenario=event.scenario))


def _auction(tables: DeriveTables, source: Address, account: int) -> AuctionRow | None:
    return tables.auctions.get(account) if source == tables.config.auction else None


WRITERS: Final[dict[type, Callable[[DeriveTables, Any, int], tuple[Notice, ...] | None]]] = {
    ev.AccountCreated: account_created,
    ev.OwnerChanged: owner_changed,
    ev.BalanceAdjusted: balance_adjusted,
    ev.AccountInterestAccrued: account_interest,
    ev.InterestAccrued: interest_accrued,
    ev.CashPrinted: cash_printed,
    ev.FeeSet: fee_set,
    ev.WithdrawFeeEnabled: withdraw_fee_enabled,
    ev.WithdrawFeeDisabled: withdraw_fee_disabled,
    ev.SolventAuctionStarted: solvent_started,
    ev.InsolventAuctionStarted: insolvent_started,
    ev.BidWon: bid_won,
    ev.AuctionEnded: auction_ended,
    ev.ScenarioUpdated: scenario_updated,
}
