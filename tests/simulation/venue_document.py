"""The world's state in the form of a snapshot: what a fresh reading of the venue would find.

Written from the snapshot's form alone, so that it is an oracle for the keeper's folding.
"""

from collections.abc import Iterable
from typing import Any

from tests.simulation import places as on
from tests.simulation.venue_truth import Truth


EXACT_MAX = 2**53 - 1
GROUPS = ("basis", "other", "margin", "vol_shock", "skew")


def plain(value: Any) -> Any:
    """Return a value as JSON carries it: big numbers as decimal text, tuples as lists."""
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, int) and abs(value) > EXACT_MAX:
        return str(value)
    return value


def document(truth: Truth, number: int, block: str) -> dict[str, Any]:
    """Return the venue's part of a snapshot of a block."""
    tables = {**_accounts(truth), **_contracts(truth), **_rules(truth), **_quotes(truth)}
    return {
        "format": 1,
        "venue": "derive",
        "number": number,
        "hash": block,
        "timestamp": truth.now,
        "tables": {name: _lines(rows.items()) for name, rows in tables.items()},
        "columns": _columns(truth),
        "positions": _positions(truth),
    }


def _lines(rows: Iterable[tuple[Any, Any]]) -> list[list[Any]]:
    return [[plain(key), plain(row)] for key, row in sorted(rows)]


def _accounts(truth: Truth) -> dict[str, dict[Any, Any]]:
    strangers: dict[str, int] = {}
    for manager in truth.managers.values():
        if manager != on.MANAGER:
            strangers[manager] = strangers.get(manager, 0) + 1
    return {
        "accounts": truth.managers,
        "owners": truth.owners,
        "overrides": truth.overrides,
        "auctions": truth.auctions,
        "unsupported": strangers,
    }


def _contracts(truth: Truth) -> dict[str, dict[Any, Any]]:
    bank, perp, manager = truth.bank, truth.perp, truth.manager
    at = bank["at"] if bank["borrow"] > 0 else 0
    indexes = (bank["supply"], bank["borrow"], bank["borrow_index"], bank["supply_index"], at)
    fees = (bank["printed"], bank["fee"], bank["fee_before"], bank["forced"], on.RATE_MODEL)
    funding = (perp["aggregated"], perp["paid_at"], perp["convergence"], perp["bound"])
    wiring = (on.SPOT, on.PERP_FEED, on.ASK, on.BID)
    feeds = (on.SPOT, manager["stable"], on.FORWARD, on.RATE, on.VOL)
    limits = (manager["size"], manager["expiries"], manager["paused"])
    return {
        "cash_state": {on.CASH: (*indexes, *fees)},
        "rate_models": {on.RATE_MODEL: on.RATES},
        "managers": {on.MANAGER: ("ETH", on.OPTION, on.PERP, on.LIB, *feeds, *limits)},
        "whitelist": {on.MANAGER: truth.listed},
        "perps": {
            on.PERP: (*funding, -perp["bound"], perp["static"], False, 0, *wiring),
        },
        "auction_rules": {on.AUCTION: truth.rules},
        "unread": {},
    }


def _rules(truth: Truth) -> dict[str, dict[Any, Any]]:
    groups: dict[str, dict[Any, Any]] = {name: {} for name in GROUPS}
    for (lib, group), row in truth.libs.items():
        groups[group][lib] = row
    return {
        **groups,
        "scenarios": {(on.MANAGER, at): row for at, row in enumerate(truth.scenarios)},
        "collaterals": {(lib, on.COIN): row for lib, row in truth.coin.items() if any(row)},
        "collateral_feeds": {(on.MANAGER, on.COIN): on.COIN_FEED},
    }


def _quotes(truth: Truth) -> dict[str, dict[Any, Any]]:
    return {
        "feeds": dict(on.FEEDS),
        "spots": truth.spots,
        "diffs": truth.diffs,
        "forwards": {(on.FORWARD, expiry): row for expiry, row in truth.forwards.items()},
        "settled": {(on.FORWARD, expiry): price for expiry, price in truth.settled.items()},
        "vols": {(on.VOL, expiry): row for expiry, row in truth.vols.items()},
        "rates": {(on.RATE, expiry): row for expiry, row in truth.rates.items()},
    }


def _columns(truth: Truth) -> dict[str, list[list[Any]]]:
    marks = truth.marks
    columns = {
        "cash": truth.cash,
        "cash_index": truth.index,
        "perp_mark": {account: row[0] for account, row in marks.items()},
        "perp_funding": {account: row[1] for account, row in marks.items()},
        "perp_pnl": {account: row[2] for account, row in marks.items()},
        "perp_aggregated": {account: row[3] for account, row in marks.items()},
    }
    return {
        name: _lines((account, value) for account, value in column.items() if value)
        for name, column in columns.items()
    }


def _positions(truth: Truth) -> list[list[Any]]:
    """Return (account, asset, subId, quantity), options before the perpetual before the coin."""
    rank = {on.OPTION: 0, on.PERP: 1, on.COIN: 2}

    def place(line: tuple[tuple[int, str, int], int]) -> tuple[int, ...]:
        (account, asset, sub_id), _ = line
        expiry, strike = sub_id & 0xFFFFFFFF, sub_id >> 32 & (1 << 63) - 1
        # A call's kind code is 0 and a put's 1.
        return account, rank[asset], expiry, strike, 1 - (sub_id >> 95)

    lines = [item for item in truth.held.items() if truth.managers[item[0][0]] == on.MANAGER]
    return [
        [account, asset, plain(sub_id), plain(quantity)]
        for (account, asset, sub_id), quantity in sorted(lines, key=place)
    ]
