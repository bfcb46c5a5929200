"""A source's JSON into events, by configured places. Pure.

A frame is malformed (MalformedReply), about something else (no events), or says something. Numbers
are taken only where they are numbers, or text that is exactly one; never a guess.
"""

import math
import re
from typing import Any, Final

import orjson

from keeper.domain.errors import MalformedReply
from keeper.domain.events import OracleUpdated, PayloadReceived
from keeper.oracle.settings import OracleSettings


PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
FUTURE_MS_MAX: Final = 60_000
ITEMS_MAX: Final = 1_024
DEPTH_MAX: Final = 16
HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+", re.ASCII)
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
ABSENT: Final = object()


def parsed(name: str, frame: bytes | str) -> Any:
    """Return a frame's JSON; raises MalformedReply."""
    try:
        return orjson.loads(frame)
    except (orjson.JSONDecodeError, RecursionError):
        raise MalformedReply(name, "a frame is not JSON") from None


def at(document: Any, path: str) -> Any:
    """Return what stands at a path such as "data.0.price", ABSENT where there is nothing."""
    found = document
    for part in path.split(".")[:DEPTH_MAX] if path else ():
        if isinstance(found, dict):
            found = found.get(part, ABSENT)
        elif isinstance(found, list) and part.isascii() and part.isdigit():
            index = int(part) if len(part) < 6 else len(found)
            found = found[index] if index < len(found) else ABSENT
        else:
            return ABSENT
    return found


def price(settings: OracleSettings, document: Any, now_ms: int) -> list[OracleUpdated]:
    """Return the price a frame gives; none where it is about something else."""
    said = at(document, settings.price_path)
    if said is ABSENT:
        return []
    value = _number(said)
    if value is None or not (math.isfinite(value) and value > 0.0):
        raise MalformedReply(settings.name, "a price is not a positive number")
    published_ms = now_ms
    if settings.time_path:
        published_ms = _time_ms(settings, at(document, settings.time_path))
        if published_ms > now_ms + FUTURE_MS_MAX:
            raise MalformedReply(settings.name, "a price is of the future")
    return [OracleUpdated(settings.name, settings.underlying, value, published_ms)]


def payloads(settings: OracleSettings, document: Any) -> list[PayloadReceived]:
    """Return the signed data an answer holds; what a feed makes of them is not asked here."""
    items = at(document, settings.items_path)
    if items is ABSENT:
        return []
    listed = items if isinstance(items, list) else [items]
    if len(listed) > ITEMS_MAX:
        raise MalformedReply(settings.name, f"{len(listed)} items, more than {ITEMS_MAX}")
    return [_payload(settings, each) for each in listed]


def _payload(settings: OracleSettings, item: Any) -> PayloadReceived:
    feed, data = at(item, settings.feed_path), at(item, settings.payload_path)
    if not isinstance(feed, str) or not ADDRESS.fullmatch(feed):
        raise MalformedReply(settings.name, "signed data for no address")
    if not isinstance(data, str) or not HEX.fullmatch(data):
        raise MalformedReply(settings.name, "signed data are not hex digits")
    times = [_seconds(at(item, path)) for path in (settings.timestamp_path, settings.deadline_path)]
    published, deadline = times
    if published is None or deadline is None:
        raise MalformedReply(settings.name, "signed data without their times")
    return PayloadReceived(settings.name, feed.lower(), data.lower(), published, deadline)


def _number(said: Any) -> float | None:
    if isinstance(said, str):
        return float(said) if DECIMAL.fullmatch(said) else None
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said)


def _time_ms(settings: OracleSettings, said: Any) -> int:
    value = _number(said)
    if value is None or not math.isfinite(value) or value <= 0.0:
        raise MalformedReply(settings.name, "a price without its time")
    return int(value) * 1_000 // PER_SECOND[settings.time_unit]


def _seconds(said: Any) -> int | None:
    value = _number(said)
    if value is None or not 0.0 < value < 2.0**63:
        return None
    return int(value)
