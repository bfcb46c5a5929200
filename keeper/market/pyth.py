"""Pyth-style pull updates: signed prices a transaction brings, as payloads and quotes. Pure.

Two envelopes around the same numbers: the accumulator update that Pyth's contracts take, one proof
for many prices, and the one that MockPyth of @pythnetwork/pyth-sdk-solidity 4.2.0 takes,
abi.encode(PriceFeed, uint64), all static words, one price. When an update counts and how updates
are sent together is the same for both.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from keeper.domain.effects import Call
from keeper.domain.errors import UndecodableLog
from keeper.domain.events import Log
from keeper.domain.units import WAD, Address
from keeper.market.accumulator import proved
from keeper.market.payloads import Payload
from keeper.market.quotes import Quote, QuoteRule, advance


UPDATE_PRICE_FEEDS: Final = "ef9e5e28"
GET_UPDATE_FEE: Final = "d47eed45"
# keccak256("PriceFeedUpdate(bytes32,uint64,int64,uint64)"): the id is indexed.
PRICE_FEED_UPDATE: Final = "0xd06a6b7f4918494b3719217d1802786c1f5112a6c1d88fe2cfec00b4584f6aec"
WORDS: Final = 10  # id; price, conf, expo, time; the moving average's four; time before
EXPONENT_MAX: Final = 32


class PythPrice(NamedTuple):
    """One price: `price` and `confidence` (an interval either way) times 10^`exponent`."""

    feed: str  # "0x" and 64 hex digits
    price: int
    confidence: int
    exponent: int
    published_s: int


def opened(data: bytes) -> PythPrice | None:
    """Return what an update says, None where it is not one or its numbers do not fit."""
    if len(data) != 32 * WORDS:
        return None
    words = [int.from_bytes(data[at : at + 32], "big", signed=True) for at in range(0, 160, 32)]
    found = PythPrice("0x" + data[:32].hex(), *words[1:])
    return found if _fits(found) else None


def prices(data: bytes) -> tuple[PythPrice, ...]:
    """Return what an update says, in either envelope; none where any of it does not fit."""
    one = opened(data)
    found = tuple(PythPrice(*each) for each in proved(data)) if one is None else (one,)
    return found if all(_fits(each) for each in found) else ()


def payload(data: bytes, age_s_max: int, fee_wei: int) -> tuple[str, Payload] | None:
    """Return (feed id, payload) of an update that readers take for `age_s_max` seconds."""
    price = opened(data)
    if price is None:
        return None
    kept = Payload(data, price.published_s, price.published_s + age_s_max, fee_wei)
    return price.feed, kept


def quote(before: Quote | None, price: PythPrice, rule: QuoteRule) -> Quote:
    """Return the quote after a price, 18 decimals; confidence is 1 less the interval's share."""
    value = price.price * WAD
    shift = 10 ** abs(price.exponent)
    value = value * shift if price.exponent >= 0 else value // shift
    share = 0 if price.price <= 0 else max(0, WAD - price.confidence * WAD // price.price)
    return advance(before, value, share, price.published_s, rule)


def decode(log: Log, exponent: int) -> PythPrice | None:
    """Return a PriceFeedUpdate as a price; the log leaves the feed's exponent out.

    None for any other topic; raises UndecodableLog.
    """
    if not log.topics or log.topics[0] != PRICE_FEED_UPDATE:
        return None
    raw = log.data.removeprefix("0x")
    if len(log.topics) != 2 or len(raw) != 3 * 64:
        problem = f"{len(log.topics)} topics and {len(raw)} digits are no PriceFeedUpdate"
        raise UndecodableLog(log.address, PRICE_FEED_UPDATE, log.log_index, problem)
    try:
        words = bytes.fromhex(raw)
    except ValueError as error:
        raise UndecodableLog(log.address, PRICE_FEED_UPDATE, log.log_index, str(error)) from error
    published, price, confidence = (
        int.from_bytes(words[at : at + 32], "big", signed=at == 32) for at in (0, 32, 64)
    )
    return PythPrice(log.topics[1], price, confidence, exponent, published)


def update_call(pyth: Address, payloads: Sequence[Payload]) -> Call:
    """Return the call that brings payloads to the oracle, with the fee they were quoted at."""
    fee_wei = sum(each.fee_wei for each in payloads)
    data = "0x" + UPDATE_PRICE_FEEDS + _bytes_array([each.data for each in payloads]).hex()
    return Call(pyth, data, fee_wei)


def fee_call(payloads: Sequence[Payload]) -> str:
    """Return the calldata of the view that says what an update costs, wei."""
    return "0x" + GET_UPDATE_FEE + _bytes_array([each.data for each in payloads]).hex()


def _fits(price: PythPrice) -> bool:
    """Tell whether a price's numbers are of the widths they have on chain, and of a sane unit."""
    in_words = -(1 << 63) <= price.price < 1 << 63 and 0 <= price.confidence < 1 << 64
    return in_words and 0 < price.published_s < 1 << 63 and abs(price.exponent) <= EXPONENT_MAX


def _bytes_array(items: Sequence[bytes]) -> bytes:
    """Return abi.encode(bytes[])."""
    padded = [_word(len(item)) + item + bytes(-len(item) % 32) for item in items]
    heads, offset = [], 32 * len(items)
    for item in padded:
        heads.append(_word(offset))
        offset += len(item)
    return b"".join((_word(32), _word(len(items)), *heads, *padded))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
