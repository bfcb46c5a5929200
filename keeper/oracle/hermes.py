"""Pyth's pull updates as its price service says them, into events. Pure.

A frame holds bytes that any transaction may bring, and what they say in plain numbers. Only the
times of the latter are taken, to say when the bytes count; the prices are read from the bytes
themselves, by those who decide on them.
Source: Hermes, `/v2/updates/price/stream` and `/v2/updates/price/latest`, schema PriceUpdate
(docs.pyth.network, API reference): binary.encoding, binary.data, parsed[].id, parsed[].price.
"""

import re
from collections.abc import Hashable
from typing import Any, Final

from keeper.domain.errors import MalformedReply
from keeper.domain.events import PayloadReceived
from keeper.oracle.mapping import ABSENT, ITEMS_MAX, at
from keeper.oracle.settings import OracleSettings


HEX: Final = re.compile(r"(0x)?(?:[0-9a-fA-F]{2})+", re.ASCII)
PRICE_ID: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)
TIME_MAX_S: Final = 2**63 - 1


def updates(settings: OracleSettings, document: Any) -> dict[Hashable, PayloadReceived]:
    """Return a frame's updates by what they are of; none where it is about something else.

    An update counts from its oldest price on, for as long as readers take it.
    Raises MalformedReply.
    """
    frame = at(document, settings.items_path)
    binary = at(frame, "binary.data")
    if binary is ABSENT:
        return {}
    name = settings.name
    if at(frame, "binary.encoding") != "hex":
        raise MalformedReply(name, "updates that are not hex: ask for encoding=hex")
    if not isinstance(binary, list) or not 0 < len(binary) <= ITEMS_MAX:
        raise MalformedReply(name, f"no list of 1 to {ITEMS_MAX} updates")
    ids, oldest_s = _announced(name, at(frame, "parsed"))
    found: dict[Hashable, PayloadReceived] = {}
    for place, data in enumerate(binary):
        if not isinstance(data, str) or not HEX.fullmatch(data):
            raise MalformedReply(name, "an update is not hex digits")
        payload = "0x" + data.removeprefix("0x").lower()
        until_s = oldest_s + settings.update_age_s_max
        feed = settings.feed or ""
        found[(place, *ids)] = PayloadReceived(name, feed, payload, oldest_s, until_s)
    return found


def _announced(name: str, parsed: Any) -> tuple[list[str], int]:
    """Return the ids a frame names, and the oldest of their times; raises MalformedReply."""
    if not isinstance(parsed, list) or not 0 < len(parsed) <= ITEMS_MAX:
        raise MalformedReply(name, "updates without their prices: ask for parsed=true")
    ids, times = [], []
    for each in parsed:
        price_id, published = at(each, "id"), at(each, "price.publish_time")
        if not isinstance(price_id, str) or not PRICE_ID.fullmatch(price_id):
            raise MalformedReply(name, "an update without its id")
        # `True` is an int to isinstance, and no time.
        if type(published) is not int or not 0 < published <= TIME_MAX_S:
            raise MalformedReply(name, "an update without its time")
        ids.append(price_id.removeprefix("0x").lower())
        times.append(published)
    return ids, min(times)
