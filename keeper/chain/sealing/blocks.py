"""One block at a time, whole: its header by hash and every watched log of it.

Asks, checks and counts; it knows nothing of branches or of what was sealed. A block the node does
not know (any more) is None and never an error: after a reorg that is the normal answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from keeper.chain.link import wire
from keeper.chain.link.header_hash import header_hash
from keeper.chain.link.transport import Request, Rpc
from keeper.chain.sealing.completeness import Watchlist, bloom_of, complete_logs
from keeper.domain.errors import EndpointError, MalformedReply, RpcError
from keeper.domain.events import Log
from keeper.domain.units import Hash
from keeper.ports import Header


@dataclass(frozen=True, slots=True)
class FullBlock:
    """A header with all the watched logs of its block, in log order."""

    header: Header
    logs: Sequence[Log]


class BlockReader:
    """Reads blocks from one endpoint; every method raises EndpointError.

    `doubts` counts log answers that the bloom did not allow us to believe, `refuted` those of them
    that proved wrong: each is a fault of the endpoint. `sampled` counts the whole answers that
    were held against the receipts all the same. `witnesses` are asked before the receipts are.
    Where headers are `hashed`, one that does not have its hash is a fault too, counted by `denied`.
    """

    def __init__(
        self,
        rpc: Rpc,
        watched: Watchlist,
        deadline_s: float,
        witnesses: Callable[[], Sequence[Rpc]] = tuple,
        receipts_every_blocks: int = 64,
        *,
        hashed: bool = False,
    ) -> None:
        self.denied = 0
        self.doubts = 0
        self.refuted = 0
        self.sampled = 0
        self.watched = watched
        self._rpc = rpc
        self._deadline_s = deadline_s
        self._witnesses = witnesses
        self._receipts_every_blocks = receipts_every_blocks
        self._hashed = hashed
        self._since_sample = 0
        self._distrusted_blocks = 0

    @property
    def distrusted(self) -> bool:
        """Return whether every block is held against the receipts, because a sample differed."""
        return self._distrusted_blocks > 0

    async def latest(self) -> Header:
        """Return the header the node calls its head."""
        raw = await self._call("eth_getBlockByNumber", ["latest", False])
        return wire.header(self._rpc.name, raw)

    async def header(self, block: Hash) -> Header | None:
        """Return the header with this hash."""
        raw = await self._call("eth_getBlockByHash", [block, False])
        return None if raw is None else self._asked(raw, block).header

    async def headers(self, first: int, last: int) -> list[Header]:
        """Return the headers the node has now in this closed range of numbers, in order."""
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, last + 1)]
        raws = await self._rpc.batch(calls, deadline_s=self._deadline_s)
        # A hole is no error: the walk along the parents asks for what is missing by hash.
        whole = [raw for raw in raws if raw is not None and not isinstance(raw, RpcError)]
        return [wire.header(self._rpc.name, raw) for raw in whole]

    async def full(self, block: Hash) -> FullBlock | None:
        """Return the block with all its watched logs, or None if the node does not know it."""
        calls: list[Request] = [("eth_getBlockByHash", [block, False])]
        if self.watched.addresses:
            calls.append(self._query(block))
        answers = await self._rpc.batch(calls, deadline_s=self._deadline_s)
        if isinstance(answers[0], RpcError):
            raise answers[0]
        if answers[0] is None:
            return None
        asked = self._asked(answers[0], block)
        logs = await self._logs(asked, answers[1:])
        return None if logs is None else FullBlock(asked.header, logs)

    async def range(
        self, first: int, last: int
    ) -> tuple[list[wire.Block], Sequence[tuple[int, Hash, Log]] | RpcError]:
        """Return the node's blocks of a closed range now, and the watched logs or why not."""
        calls: list[Request] = [
            ("eth_getBlockByNumber", [hex(number), False]) for number in range(first, last + 1)
        ]
        if self.watched.addresses:
            span = {"fromBlock": hex(first), "toBlock": hex(last)}
            calls.append(("eth_getLogs", [span | {"address": list(self.watched.addresses)}]))
        *raws, logs = await self._rpc.batch(calls, deadline_s=self._deadline_s)
        if not self.watched.addresses:
            raws, logs = [*raws, logs], []
        whole = [raw for raw in raws if raw is not None and not isinstance(raw, RpcError)]
        blocks = [self._block(raw) for raw in whole]
        return blocks, logs if isinstance(logs, RpcError) else wire.logs(self._rpc.name, logs)

    def complete(
        self, found: Sequence[tuple[int, Hash, Log]], asked: wire.Block
    ) -> Sequence[Log] | None:
        """Return the logs in order, or None where the bloom says that some are missing."""
        logs = self._complete(found, asked.header)
        if self.watched.unnamed(asked.bloom, logs):
            raise MalformedReply(self._rpc.name, "logs that the block's bloom does not hold")
        return None if self.watched.unheard(asked.bloom, logs) else logs

    async def _logs(self, asked: wire.Block, answers: Sequence[Any]) -> Sequence[Log] | None:
        if not answers:
            return ()
        if isinstance(answers[0], RpcError):
            # Too many logs for one answer, or a reorg between the two: the receipts tell which.
            return await self._receipt_logs(asked)
        logs = self.complete(wire.logs(self._rpc.name, answers[0]), asked)
        if logs is None:
            return await self._settle_doubt(asked, len(answers[0]))
        self._since_sample += bool(logs)
        if self._distrusted_blocks or self._since_sample >= self._receipts_every_blocks:
            return await self._sample(asked, logs)
        return logs

    async def _settle_doubt(self, asked: wire.Block, believed: int) -> Sequence[Log] | None:
        """Ask another endpoint, else the receipts: an incomplete answer is wrong state for ever."""
        self.doubts += 1
        for witness in self._witnesses():
            try:
                raw = await witness.call(
                    *self._query(asked.header.hash), deadline_s=self._deadline_s
                )
                found = wire.logs(witness.name, raw)
                logs = complete_logs(
                    witness.name, found, asked.header.number, asked.header.hash, self.watched
                )
            except EndpointError:
                continue  # no answer is no testimony: the next one, or the receipts, decide
            if not self.watched.unheard(asked.bloom, logs):
                self.refuted += 1
                return logs
        decided = await self._receipt_logs(asked)
        self.refuted += bool(decided is not None and len(decided) > believed)
        return decided

    async def _sample(self, asked: wire.Block, logs: Sequence[Log]) -> Sequence[Log] | None:
        """Hold one whole answer against the receipts: a node that cuts answers is found out.

        The receipts count, for they add up to the bloom. Once they differed, every block is held
        against them until as many in a row agree as lie between two samples.
        """
        self.sampled += 1
        decided = await self._receipt_logs(asked)
        if decided is not None and decided != logs:
            self.refuted += 1
            self._distrusted_blocks = self._receipts_every_blocks
        elif decided is not None:
            self._distrusted_blocks = max(0, self._distrusted_blocks - 1)
        self._since_sample = 0
        return decided

    async def _receipt_logs(self, asked: wire.Block) -> Sequence[Log] | None:
        raw = await self._call("eth_getBlockReceipts", [asked.header.hash])
        if raw is None:
            return None
        found = wire.receipt_logs(self._rpc.name, raw)
        if bloom_of(log for _, _, log in found) != asked.bloom:
            # The receipts decide, so they must be all: the header's bloom is made of them.
            raise MalformedReply(self._rpc.name, "receipts that do not add up to the block's bloom")
        return self._complete(found, asked.header)

    def _query(self, block: Hash) -> Request:
        # An empty address list would mean "all addresses" to the node.
        return "eth_getLogs", [{"blockHash": block, "address": list(self.watched.addresses)}]

    def _complete(self, found: Sequence[tuple[int, Hash, Log]], header: Header) -> Sequence[Log]:
        name = self._rpc.name
        return complete_logs(name, found, header.number, header.hash, self.watched)

    def _block(self, raw: Any) -> wire.Block:
        """Return a block that has the hash it is given under."""
        read = wire.block(self._rpc.name, raw)
        if self._hashed and header_hash(raw) != read.header.hash:
            self.denied += 1
            problem = f"a header that does not have its hash {read.header.hash}"
            raise MalformedReply(self._rpc.name, problem)
        return read

    def _asked(self, raw: Any, block: Hash) -> wire.Block:
        read = self._block(raw)
        if read.header.hash != block:
            raise MalformedReply(self._rpc.name, f"another block than {block}")
        return read

    async def _call(self, method: str, params: Sequence[Any]) -> Any:
        return await self._rpc.call(method, params, deadline_s=self._deadline_s)


class Prefetch:
    """Whole blocks on their way, by hash, so that a head's logs are asked for as it arrives.

    At most `limit` are ahead of the caller; beyond it they are asked for when they are taken.
    """

    def __init__(self, tasks: asyncio.TaskGroup, blocks: BlockReader, limit: int) -> None:
        self._tasks = tasks
        self._blocks = blocks
        self._limit = limit
        self._coming: dict[Hash, _Coming] = {}

    def start(self, header: Header) -> None:
        """Ask for the block now, unless enough are on their way."""
        if header.hash not in self._coming and len(self._coming) < self._limit:
            task = self._tasks.create_task(self._fetch(header.hash))
            self._coming[header.hash] = _Coming(header.number, task)

    async def take(self, header: Header) -> FullBlock | None:
        """Return the block, asked for ahead or now; raises EndpointError."""
        coming = self._coming.pop(header.hash, None)
        if coming is not None:
            outcome = await coming.task
            if outcome is not None:
                return outcome
        return await self._blocks.full(header.hash)

    def forget(self, number: int) -> None:
        """Give up blocks up to `number` that nobody took: they are of a branch that lost."""
        for block, coming in list(self._coming.items()):
            if coming.number <= number:
                coming.task.cancel()
                del self._coming[block]

    def drop(self) -> None:
        """Give up all that is on its way and was not taken."""
        for coming in self._coming.values():
            coming.task.cancel()
        self._coming.clear()

    async def _fetch(self, block: Hash) -> FullBlock | None:
        """Return the block, or None: whoever takes it asks again, and sees an error that stays.

        None may also mean that the node told us of the block before it could serve it.
        """
        try:
            return await self._blocks.full(block)
        except EndpointError:
            return None


class _Coming(NamedTuple):
    """A block on its way."""

    number: int
    task: asyncio.Task[FullBlock | None]
