"""A contract's views as a source: read at one block hash every few blocks, posted when changed.

What nobody emits is seen by asking, or not at all. It must not know which views, nor what their
answers mean.
"""

import asyncio
from abc import ABC, abstractmethod

from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, MalformedReply
from keeper.domain.events import PriceObserved, RoundObserved
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import Tell
from keeper.ports import CallFailed, ChainReader, Header, Post


class FeedWatch(ABC):
    """`keeper.ports.Source` for one feed."""

    def __init__(self, settings: OracleSettings, reader: ChainReader, tell: Tell) -> None:
        self.settings = settings
        self._reader = reader
        self._tell = tell
        self._number: int | None = None
        self._posted: RoundObserved | PriceObserved | None = None
        self._unread = ""

    @abstractmethod
    async def read(self, header: Header) -> RoundObserved | PriceObserved:
        """Return what the views say at a block; raises EndpointError."""

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
        seen = await self.read(header)
        self._number, self._unread = header.number, ""
        if seen != self._posted:
            self._posted = seen
            post(seen)

    def _tell_unread(self, problem: str) -> None:
        if problem != self._unread:
            self._unread = problem
            fields = (("source", self.settings.name), ("problem", problem))
            self._tell(Notice("oracle_unread", "warning", fields))


def words(name: str, answer: str | CallFailed, count: int) -> list[int]:
    """Return the words of an answer; raises MalformedReply for a revert or another length."""
    if isinstance(answer, CallFailed):
        raise MalformedReply(name, "the feed reverts")
    digits = answer.removeprefix("0x")
    if len(digits) != 64 * count:
        raise MalformedReply(name, f"a view answered {len(digits)} digits, expected {count} words")
    return [int(digits[at : at + 64], 16) for at in range(0, len(digits), 64)]


def signed(word: int) -> int:
    """Return a word read as int256."""
    return word - (1 << 256) if word >> 255 else word
