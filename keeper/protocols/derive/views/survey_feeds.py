"""What to ask of feeds for a snapshot: their rules, and the values that views show.

Pure, in the manner of `survey`. Details of pushed spots, forwards, smiles and rates are private:
they come from logs, and are not asked here.
"""

from keeper.domain.units import Address
from keeper.protocols.derive.abi import call
from keeper.protocols.derive.tables import (
    DIFF,
    FORWARD,
    RATE,
    SPOT,
    STATIC_DIFF,
    STATIC_RATE,
    STATIC_SPOT,
    VOL,
    DeriveTables,
    DiffRow,
    FeedRow,
    RateRow,
    SpotRow,
)
from keeper.protocols.derive.views.survey import Survey, read
from keeper.protocols.derive.wiring import NOWHERE


# What stands there instead where a feed has no heartbeat.
STATIC = {SPOT: STATIC_SPOT, DIFF: STATIC_DIFF, RATE: STATIC_RATE}


def wired(tables: DeriveTables) -> dict[Address, str]:
    """Return the feeds that managers, perpetuals and collaterals read, with their kinds."""
    found: dict[Address, str] = {}
    managers = [row for _, row in tables.managers.items()]
    perps = [row for _, row in tables.perps.items()]
    for row in managers:
        found |= {row.spot_feed: SPOT, row.stable_feed: SPOT, row.forward_feed: FORWARD}
        found |= {row.rate_feed: RATE, row.vol_feed: VOL}
    for perp in perps:
        found |= {perp.spot_feed: SPOT, perp.perp_feed: DIFF}
        found |= {perp.ask_feed: DIFF, perp.bid_feed: DIFF}
    found |= {feed: SPOT for _, feed in tables.collateral_feeds.items()}
    return {feed: kind for feed, kind in sorted(found.items()) if feed != NOWHERE}


def feeds(tables: DeriveTables) -> Survey:
    """Read the rules of every wired feed, of the spots below them, and what views show of each."""
    yield from _rules(tables, wired(tables))
    below = {row.spot_feed: SPOT for _, row in tables.feeds.items() if row.spot_feed != NOWHERE}
    missing = {feed: kind for feed, kind in sorted(below.items()) if feed not in tables.feeds}
    yield from _rules(tables, missing)
    yield from _shown(tables)


def _rules(tables: DeriveTables, wanted: dict[Address, str]) -> Survey:
    views = ("heartbeat", "settlementHeartbeat", "spotFeed", "spotDiffCap")
    answers = yield [(feed, call(view)) for feed in wanted for view in views]
    for index, (feed, kind) in enumerate(wanted.items()):
        heartbeat, settlement, spot, cap = answers[4 * index : 4 * index + 4]
        static = not heartbeat and kind in STATIC
        row = FeedRow(STATIC[kind] if static else kind, 0, 0, NOWHERE, 0)
        if not static:
            row = row._replace(heartbeat_s=int(read(feed, "heartbeat", heartbeat, "u64")[0]))
        if kind == FORWARD:
            seconds = int(read(feed, "settlementHeartbeat", settlement, "u64")[0])
            row = row._replace(settlement_heartbeat_s=seconds)
        if kind in (FORWARD, DIFF):
            row = row._replace(spot_feed=str(read(feed, "spotFeed", spot, "a")[0]))
        if row.kind == DIFF:
            row = row._replace(diff_cap=int(read(feed, "spotDiffCap", cap, "i")[0]))
        tables.feeds.set(feed, row)


def _shown(tables: DeriveTables) -> Survey:
    """Read pushed differences and the values of static feeds."""
    views = {
        DIFF: call("spotDiffDetails"),
        STATIC_SPOT: call("getSpot"),
        STATIC_RATE: call("getInterestRate", 0),
    }
    shown = [(feed, row.kind) for feed, row in tables.feeds.items() if row.kind in views]
    answers = yield [(feed, views[kind]) for feed, kind in shown]
    for (feed, kind), answer in zip(shown, answers, strict=True):
        if kind == DIFF:
            details = read(feed, "spotDiffDetails", answer, "i u64 u64")
            if details[2]:  # never posted: nothing is known, as on chain
                tables.diffs.set(feed, DiffRow._make(details))
        elif kind == STATIC_SPOT:
            spot = read(feed, "getSpot", answer, "u u")
            tables.spots.set(feed, SpotRow._make([*spot, 0]))
        else:
            rate = read(feed, "getInterestRate", answer, "i u")
            tables.rates.set((feed, 0), RateRow._make([*rate, 0]))
    yield from _static_diffs(tables)


def _static_diffs(tables: DeriveTables) -> Survey:
    """Read static differences, shown only as a sum with spot; unknown while that is stale."""
    static = [(feed, row) for feed, row in tables.feeds.items() if row.kind == STATIC_DIFF]
    answers = yield [(feed, call("getResult")) for feed, _ in static]
    spots = yield [(row.spot_feed, call("getSpot")) for _, row in static]
    for (feed, row), answer, spot in zip(static, answers, spots, strict=True):
        if answer and spot:
            result, confidence = map(int, read(feed, "getResult", answer, "u u"))
            price = int(read(row.spot_feed, "getSpot", spot, "u")[0])
            tables.diffs.set(feed, DiffRow(result - price, confidence, 0))


def settled(tables: DeriveTables, now: int) -> Survey:
    """Read the settlement prices of held expiries that have passed."""
    held = sorted(
        {
            (tables.managers[manager].forward_feed, expiry)
            for manager, expiry in held_expiries(tables)
            if expiry <= now
        }
    )
    answers = yield [(feed, call("getSettlementPrice", expiry)) for feed, expiry in held]
    for key, answer in zip(held, answers, strict=True):
        done, price = read(key[0], "getSettlementPrice", answer, "b u")
        if done:
            tables.settled.set(key, int(price))


def held_expiries(tables: DeriveTables) -> set[tuple[Address, int]]:
    """Return (manager, expiry) of every option somebody holds."""
    portfolio = tables.portfolio
    found = set()
    for account, manager in tables.accounts.items():
        for row, _ in portfolio.positions.held(tables.row(account)):
            expiry = portfolio.instruments[row].expiry
            if expiry:
                found.add((manager, expiry))
    return found
