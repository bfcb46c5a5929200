"""Chainlink-shaped feeds by their views, read at one block hash every few blocks.

A proxy tells nobody when it moves to another aggregator, nor a feed when its decimals change: that
is seen by asking, or not at all. What an answer is worth is judged elsewhere.
Source: AggregatorV3Interface and AggregatorProxy of @chainlink/abi 0.1.4 (v0.6).
"""

import asyncio
from typing import Final

from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, MalformedReply
from keeper.domain.events import RoundObserved
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import Tell
from keeper.ports import CallFailed, ChainReader, Header, Post


AGGREGATOR: Final = "0x245a7bfc"
PHASE_ID: Final = "0x58303b10"
DECIMALS: Final = "0x313ce567"
LATEST_ROUND_DATA: Final = "0xfeaf968c"
VIEWS: Final = (AGGREGATOR, PHASE_ID, DECIMALS, LATEST_ROUND_DATA)
ROUND_WORDS: Final = 5
DECIMALS_MAX: Final = 255


class ChainlinkWatch:
    """`keeper.ports.Source` for one feed."""

    def __init__(self, settings: OracleSettings, reader: ChainReader, tell: Tell) -> None:
        self.settings = settings
        self._reader = reader
        self._tell = tell
        self._number: int | None = None
        self._posted: RoundObserved | None = None
        self._unread = ""

    async def run(self, post: Post) -> None:
        """Look again every few blocks until cancelled; a feed that cannot be read is told."""
        while True:
            try:
                await self.look(post)
            except EndpointError as error:
                self._tell_unread(error.problem)
            await asyncio.sleep(self.settings.poll_ms / 1_000)

    async def look(self, post: Post) -> None:
        """Read the feed where blocks enough have passed, and post what has changed.

        Raises EndpointError.
        """
        header = await self._reader.header("latest")
        last = self._number
        if last is not None and last <= header.number < last + self.settings.reread_blocks:
            return
        seen = await self._read(header)
        self._number, self._unread = header.number, ""
        if seen != self._posted:
            self._posted = seen
            post(seen)

    async def _read(self, header: Header) -> RoundObserved:
        settings = self.settings
        feed = settings.feed or ""
        answers = await self._reader.call_many([(feed, view) for view in VIEWS], header.hash)
        aggregator, phase, decimals, round_data = answers
        name = settings.name
        words, (unit,) = _words(name, round_data, ROUND_WORDS), _words(name, decimals, 1)
        if unit > DECIMALS_MAX:
            raise MalformedReply(name, "decimals that are no uint8")
        # What is no proxy is its own aggregator.
        proxied = not isinstance(aggregator, CallFailed) and not isinstance(phase, CallFailed)
        return RoundObserved(
            source=name,
            subject=settings.underlying,
            feed=feed,
            aggregator=_address(_words(name, aggregator, 1)[0]) if proxied else feed,
            phase=_words(name, phase, 1)[0] if proxied else 0,
            decimals=unit,
            decimals_expected=-1 if settings.decimals is None else settings.decimals,
            heartbeat_s=settings.feed_heartbeat_s,
            round=words[0],
            answer=words[1] - (1 << 256) if words[1] >> 255 else words[1],
            started_s=words[2],
            updated_s=words[3],
        )

    def _tell_unread(self, problem: str) -> None:
        if problem != self._unread:
            self._unread = problem
            fields = (("source", self.settings.name), ("problem", problem))
            self._tell(Notice("oracle_unread", "warning", fields))


def _words(name: str, answer: str | CallFailed, count: int) -> list[int]:
    """Return the words of an answer; raises MalformedReply for a revert or another length."""
    if isinstance(answer, CallFailed):
        raise MalformedReply(name, "the feed reverts")
    digits = answer.removeprefix("0x")
    if len(digits) != 64 * count:
        raise MalformedReply(name, f"a view answered {len(digits)} digits, expected {count} words")
    return [int(digits[at : at + 64], 16) for at in range(0, len(digits), 64)]


def _address(word: int) -> str:
    return f"0x{word & (1 << 160) - 1:040x}"
