"""Derive's tables folded block by block from a node, to be held against fresh snapshots."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deploy.devnet.chain.node import Node
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.domain.events import BlockSealed
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.logs.decode import decode
from keeper.protocols.derive.logs.fold import Fold, watch_addresses
from keeper.protocols.derive.record import dump
from keeper.protocols.derive.snapshot import take
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.views.compare import comparable, differences
from keeper.protocols.derive.wiring import DeriveConfig
from keeper.runtime.clock import SystemClock


class History:
    """Tables loaded from a snapshot and folded block by block, as the machine does it."""

    def __init__(self, config: DeriveConfig, snapshot: dict[str, Any]) -> None:
        self.portfolio = Portfolio()
        self.portfolio.undo.begin(snapshot["number"], snapshot["hash"])
        self.tables = DeriveTables(self.portfolio, config)
        self.fold = Fold(self.tables)
        self.fold.load(snapshot)
        self.timestamp = snapshot["timestamp"]
        self.logs = 0

    async def follow(self, reader: NodeReader) -> None:
        """Fold every block up to the head."""
        head = await reader.header("latest")
        assert self.portfolio.tip is not None
        for number in range(self.portfolio.tip[0] + 1, head.number + 1):
            header = await reader.header(number)
            watched = watch_addresses(self.tables)
            logs = tuple(log for _, _, log in await reader.logs(watched, [], number, number))
            self.apply(
                BlockSealed(
                    31337, number, header.hash, header.parent, header.timestamp, 0, 0, True, 0, logs
                )
            )

    def apply(self, block: BlockSealed) -> None:
        self.portfolio.undo.begin(block.number, block.hash)
        self.timestamp = block.timestamp
        for log in block.logs:
            event = decode(log)
            if event is not None:
                self.fold.fold(event, block)
                self.logs += 1

    async def against_the_chain(self, reader: NodeReader, config: DeriveConfig) -> list[str]:
        """Follow to the head and return every difference to a fresh snapshot of it."""
        await self.follow(reader)
        fresh = await snapshot_of(reader, config)
        return differences(comparable(self.dump()), comparable(fresh))

    def dump(self) -> dict[str, Any]:
        assert self.portfolio.tip is not None
        return dump(self.tables, *self.portfolio.tip, self.timestamp)


@asynccontextmanager
async def reading(node: Node) -> AsyncIterator[NodeReader]:
    async with RpcHttp("read", node.url) as rpc:
        yield NodeReader(rpc, ReaderConfig())


async def snapshot_of(reader: NodeReader, config: DeriveConfig) -> dict[str, Any]:
    return await take(reader, config, await reader.header("latest"), SystemClock())
