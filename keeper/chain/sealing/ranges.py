"""Blocks of a gap, many at once: headers and logs of a range of numbers in one request.

A shortcut that cannot be wrong: a block counts only where its hash is the one on the way to the
head, each log names that hash, and the bloom has nothing to add. A long answer may have been cut
off, so the last block with logs before a hole or the end does not count. All else is left out here
and read block by block, by hash.
"""

from collections.abc import Sequence

from keeper.chain.link.reader import asked_too_much
from keeper.chain.sealing.blocks import BlockReader, FullBlock
from keeper.domain.errors import EndpointError, RpcError
from keeper.domain.events import Log
from keeper.domain.units import Hash
from keeper.ports import Header


class RangeReader:
    """Reads ranges; what a node finds too much is halved, and the lesson kept for a while.

    `halvings` counts them. A node's limit is on results, not on blocks, so that a range that
    worked is doubled again the next time.
    """

    def __init__(self, blocks: BlockReader) -> None:
        self.halvings = 0
        self._blocks = blocks
        self._span: int | None = None

    async def read(self, headers: Sequence[Header]) -> dict[Hash, FullBlock]:
        """Return those of the blocks (consecutive numbers) that are surely whole, by hash.

        Raises EndpointError.
        """
        whole: dict[Hash, FullBlock] = {}
        start = 0
        if self._span == 0:
            self._span = 1
            return whole  # even one block broke the connection: by hash this time
        span = len(headers) if self._span is None else min(self._span, len(headers))
        while start < len(headers):
            some = headers[start : start + span]
            try:
                whole.update(await self._read(some))
            except EndpointError as error:
                if not asked_too_much(error):
                    # An answer too large for our own limit ends a socket, and we come back here.
                    self._span = len(some) // 2
                    raise
                if len(some) == 1:
                    start += 1  # by hash, then: the receipts are no query that has a limit
                    continue
                self.halvings += 1
                span = self._span = len(some) // 2
                continue
            start += len(some)
            span = self._span = span * 2
        return whole

    async def _read(self, headers: Sequence[Header]) -> dict[Hash, FullBlock]:
        blocks, logs = await self._blocks.range(headers[0].number, headers[-1].number)
        if isinstance(logs, RpcError):
            raise logs
        by_block: dict[Hash, list[tuple[int, Hash, Log]]] = {}
        for log in logs:
            by_block.setdefault(log[1], []).append(log)
        known = {block.header.hash: block for block in blocks}
        whole: dict[Hash, FullBlock] = {}
        told: Hash | None = None  # the last block that a log was told of
        for header in headers:
            asked = known.get(header.hash)
            found = None
            if asked is not None:
                found = self._blocks.complete(by_block.get(header.hash, []), asked)
            if asked is not None and found is not None:
                whole[header.hash] = FullBlock(asked.header, found)
            elif told is not None:
                # A hole: the answer may have been cut off, in the middle of what came before.
                whole.pop(told, None)
            if found:
                told = header.hash
        if told is not None:
            whole.pop(told, None)  # it may have been cut off here, too
        return whole
