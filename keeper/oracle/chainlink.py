"""Chainlink-shaped feeds by their views, read at one block hash every few blocks.

A proxy tells nobody when it moves to another aggregator, nor a feed when its decimals change: that
is seen by asking, or not at all. What an answer is worth is judged elsewhere.
Source: AggregatorV3Interface and AggregatorProxy of @chainlink/abi 0.1.4 (v0.6).
"""

from typing import Final

from keeper.domain.errors import MalformedReply
from keeper.domain.events import RoundObserved
from keeper.oracle.watching import FeedWatch, signed, words
from keeper.ports import CallFailed, Header


AGGREGATOR: Final = "0x245a7bfc"
PHASE_ID: Final = "0x58303b10"
DECIMALS: Final = "0x313ce567"
LATEST_ROUND_DATA: Final = "0xfeaf968c"
VIEWS: Final = (AGGREGATOR, PHASE_ID, DECIMALS, LATEST_ROUND_DATA)
ROUND_WORDS: Final = 5
DECIMALS_MAX: Final = 255


class ChainlinkWatch(FeedWatch):
    """`keeper.ports.Source` for one feed."""

    async def read(self, header: Header) -> RoundObserved:
        """Return the feed's last round, and who stands behind its proxy; raises EndpointError."""
        settings = self.settings
        feed = settings.feed or ""
        answers = await self._reader.call_many([(feed, view) for view in VIEWS], header.hash)
        aggregator, phase, decimals, round_data = answers
        name = settings.name
        said, (unit,) = words(name, round_data, ROUND_WORDS), words(name, decimals, 1)
        if unit > DECIMALS_MAX:
            raise MalformedReply(name, "decimals that are no uint8")
        # What is no proxy is its own aggregator.
        proxied = not isinstance(aggregator, CallFailed) and not isinstance(phase, CallFailed)
        return RoundObserved(
            source=name,
            subject=settings.underlying,
            feed=feed,
            aggregator=_address(words(name, aggregator, 1)[0]) if proxied else feed,
            phase=words(name, phase, 1)[0] if proxied else 0,
            decimals=unit,
            decimals_expected=-1 if settings.decimals is None else settings.decimals,
            heartbeat_s=settings.feed_heartbeat_s,
            round=said[0],
            answer=signed(said[1]),
            started_s=said[2],
            updated_s=said[3],
        )


def _address(word: int) -> str:
    return f"0x{word & (1 << 160) - 1:040x}"
