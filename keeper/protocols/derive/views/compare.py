"""What of a snapshot must equal a history folded to the same block. Pure.

A history remembers quotes that are long stale, prices of expiries that nobody holds, and feeds,
libs and rate models that nobody reads any more; a fresh snapshot finds none of these, and no margin
depends on them. Everything else must be equal.
"""

from collections.abc import Mapping
from typing import Any

from keeper.protocols.derive.tables import FeedRow, ManagerRow, PerpRow


QUOTED = ("spots", "diffs", "forwards", "vols", "rates")


def comparable(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return a snapshot, or a history in its form, without what the two may differ in.

    Raises KeyError for what is not a snapshot.
    """
    now: int = snapshot["timestamp"]
    kept = dict(snapshot["tables"])
    for names, used in (
        (("feeds",), _feeds(kept)),
        (("basis", "other", "margin", "vol_shock", "skew", "collaterals"), _libs(kept)),
        (("rate_models",), {row[-1] for _, row in kept["cash_state"]}),
    ):
        for name in names:
            kept[name] = [[key, row] for key, row in kept[name] if _first(key) in used]
    heartbeats = {feed: rules[1] for feed, rules in kept["feeds"]}
    for name in QUOTED:
        kept[name] = [
            [key, row]
            for key, row in kept[name]
            if _fresh(_stamp(name, row), heartbeats.get(_first(key)), now)
        ]
    held = _held(snapshot)
    kept["settled"] = [[key, price] for key, price in kept["settled"] if tuple(key) in held]
    return {**snapshot, "tables": kept}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return each row in which two comparable snapshots differ, as text, in order."""
    found = [
        f"{part}: {ours[part]!r} != {theirs[part]!r}"
        for part in ("venue", "number", "hash", "timestamp")
        if ours[part] != theirs[part]
    ]
    for part in ("tables", "columns"):
        for name in ours[part]:
            found += _apart(name, ours[part][name], theirs[part][name])
    lines = [[[line[:3], line[3]] for line in each["positions"]] for each in (ours, theirs)]
    return found + _apart("positions", lines[0], lines[1])


def _apart(name: str, ours: list[Any], theirs: list[Any]) -> list[str]:
    """Return the keys of one table whose rows differ."""
    left = {repr(key): row for key, row in ours}
    right = {repr(key): row for key, row in theirs}
    keys = [*left, *(key for key in right if key not in left)]
    return [
        f"{name} {key}: {left.get(key)!r} != {right.get(key)!r}"
        for key in keys
        if left.get(key) != right.get(key)
    ]


def _first(key: Any) -> str:
    return str(key[0] if isinstance(key, list) else key)


def _feeds(tables: Mapping[str, Any]) -> set[str]:
    """Return the feeds that are read by anything wired, and the spots below them."""
    managers = [ManagerRow._make(row) for _, row in tables["managers"]]
    perps = {address: PerpRow._make(row) for address, row in tables["perps"]}
    read = {feed for _, feed in tables["collateral_feeds"]}
    for row in managers:
        read |= {row.spot_feed, row.stable_feed, row.forward_feed, row.rate_feed, row.vol_feed}
        if row.perp in perps:
            perp = perps[row.perp]
            read |= {perp.spot_feed, perp.perp_feed, perp.ask_feed, perp.bid_feed}
    below = {FeedRow._make(row).spot_feed for feed, row in tables["feeds"] if feed in read}
    return read | below


def _libs(tables: Mapping[str, Any]) -> set[str]:
    """Return the libs that margin anybody."""
    own = {ManagerRow._make(row).lib for _, row in tables["managers"]}
    return own | {lib for _, lib in tables["overrides"]}


def _stamp(name: str, row: list[Any]) -> int:
    """Return a quote's timestamp: a forward alone has its aggregates after it."""
    return int(row[2] if name == "forwards" else row[-1])


def _fresh(timestamp: int, heartbeat_s: int | None, now: int) -> bool:
    """Return whether a quote can be read; a static one, of timestamp 0, always can."""
    if heartbeat_s is None:
        return False
    return timestamp == 0 or timestamp + heartbeat_s >= now


def _held(snapshot: Mapping[str, Any]) -> set[tuple[str, int]]:
    """Return (forward feed, expiry) of every option that somebody holds."""
    managers = {address: ManagerRow._make(row) for address, row in snapshot["tables"]["managers"]}
    accounts = dict(snapshot["tables"]["accounts"])
    held = set()
    for account, asset, sub_id, _ in snapshot["positions"]:
        manager = managers[accounts[account]]
        if asset == manager.option:
            held.add((manager.forward_feed, int(sub_id) & 0xFFFFFFFF))
    return held
