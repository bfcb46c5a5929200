"""Leave to go live for keepers of tests: what `keeper activate` writes, without its dry run."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from keeper.app.assembly import Places
from keeper.app.keys import load_signers
from keeper.app.leave.activating import activation_of, record
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader
from keeper.config import Config, load
from keeper.domain.errors import ConfigError, KeeperError


def give_leave(path: Path, node_url: str) -> None:
    """Write the activation of a live configuration.

    One that a keeper would refuse for another reason gets none: that refusal is the test's.
    """
    try:
        config = load(path)
    except ConfigError:
        return
    if config.keeper.mode == "live":
        asyncio.run(_give(config, node_url))


async def _give(config: Config, node_url: str) -> None:
    try:
        async with AsyncExitStack() as stack:
            signers = await load_signers(config, stack)
            rpc = await stack.enter_async_context(RpcHttp("leave", node_url))
            reader = NodeReader(rpc, config.reader)
            wanted = await activation_of(config, reader, [each.address for each in signers])
    except KeeperError:
        return
    record(Places(Path(config.keeper.data_dir)), wanted, {"blocks": 0})
