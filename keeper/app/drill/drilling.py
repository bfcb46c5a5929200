"""`keeper drill`: chosen accounts made liquidatable on a copy of the chain, and the whole path run.

The copy is a fork on this host, or a development node that is put back afterwards; nothing is ever
sent to a real endpoint. Lanes and their keys are made for the drill and thrown away with it.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from keeper.app.assembly import Places
from keeper.app.drill.ground import Ground, survey
from keeper.app.drill.policy import NAME
from keeper.app.drill.stages import BID, START, DrillReport, DrillWitness, StageFailed
from keeper.app.keys import load_signers
from keeper.app.leave.activating import activation_of, record
from keeper.app.links import open_link
from keeper.app.running import run
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader
from keeper.chain.throwaway.fork import forked
from keeper.chain.throwaway.node import ThrowawayNode
from keeper.config import Config, LaneSection, StrategySection
from keeper.config.endpoints import read_endpoint
from keeper.domain.errors import ConfigError, EndpointError
from keeper.runtime.clock import SystemClock
from keeper.runtime.supervisor import Ended


LANES: Final = 2
PACE_S: Final = 0.5
BLOCKS_MAX: Final = 40
LIMIT_S: Final = 900.0  # a snapshot of a large venue is most of it
MS_PER_S: Final = 1_000


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """What the operator chose; no `node_url` means a fork of the configured read endpoint.

    `accounts` empty: those nearest to their line.
    """

    accounts: tuple[int, ...] = ()
    node_url: str | None = None
    anvil: Path | None = None


async def drill(config: Config, options: DrillOptions) -> DrillReport:
    """Run the drill and return its report; raises ConfigError for what it refuses to run on."""
    report = DrillReport(SystemClock())
    with suppress(StageFailed):
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-drill-")))
            await _drill(config, options, folder, report, stack)
    return report


async def _drill(
    config: Config, options: DrillOptions, folder: Path, report: DrillReport, stack: AsyncExitStack
) -> None:
    with report.stage("throwaway node") as told:
        node, url = await stack.enter_async_context(_node(config, options, folder))
        chosen_config = _moved(config, options, url, folder)
        rpc = await stack.enter_async_context(RpcHttp("drill", url))
        reader = NodeReader(rpc, config.reader)
        number, _, _ = await node.head()
        told.append(f"{'a development node' if options.node_url else 'a fork'} at block {number}")
    await stack.enter_async_context(_given_back(node, report))
    with report.stage("accounts chosen") as told:
        chosen = await survey(chosen_config, reader, folder / "survey", options.accounts)
        told.extend(each.told() for each in chosen)
    ground = Ground(chosen_config, node, chosen)
    with report.stage("lanes, executor and bidders") as told:
        ready = _equipped(chosen_config, ground)
        told.append(f"{LANES} throwaway lanes")
        lanes = await _lanes_of(ready)
        await ground.admit(lanes)
        wanted = await activation_of(ready, reader, lanes)
        record(Places(Path(ready.keeper.data_dir)), wanted, {"drill": True})
    with report.stage("made liquidatable") as told:
        told.extend(await ground.break_accounts())
    await _through(ready, ground, node, report)


async def _through(
    config: Config, ground: Ground, node: ThrowawayNode, report: DrillReport
) -> None:
    """Run the keeper as it is, with blocks made for it, and add what it came to."""
    bids = await ground.can_bid()
    wanted = {(each.account, START): f"start of {each.account}" for each in ground.chosen}
    for each in ground.chosen:
        if each.underlying in bids:
            wanted[each.account, BID] = f"bid under {each.underlying}"
    witness = DrillWitness(wanted, BLOCKS_MAX)
    with report.stage("the keeper") as told:
        ended = await _run(config, witness, node)
        if ended.exit_code:
            raise EndpointError("the keeper", f"ended with code {ended.exit_code}")
        told.append(f"{witness.blocks} blocks decided")
        if len(wanted) == len(ground.chosen):
            told.append("no bidder configured: bids were not drilled")
    report.stages += witness.stages(ground.executor)


async def _run(config: Config, witness: DrillWitness, node: ThrowawayNode) -> Ended:
    """Run the keeper while blocks are made; raises what ends the making, and TimeoutError."""
    keeper = asyncio.create_task(run(config, witness))
    miner = asyncio.create_task(_mine(node))
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait({keeper, miner}, return_when=asyncio.FIRST_COMPLETED)
        if miner.done():
            miner.result()
        return await keeper
    finally:
        for task in (keeper, miner):
            task.cancel()
        await asyncio.gather(keeper, miner, return_exceptions=True)


async def _mine(node: ThrowawayNode) -> None:
    """Make blocks, by the clock, until cancelled."""
    while True:
        await asyncio.sleep(PACE_S)
        await node.mine()


@asynccontextmanager
async def _node(
    config: Config, options: DrillOptions, folder: Path
) -> AsyncIterator[tuple[ThrowawayNode, str]]:
    """Yield the node to drill on and its URL: the one named, or a fork of the read endpoint."""
    async with AsyncExitStack() as stack:
        url = options.node_url or await _fork(config, options, folder, stack)
        rpc = await stack.enter_async_context(RpcHttp("drill", url))
        yield await ThrowawayNode.proved(rpc, url), url


async def _fork(config: Config, options: DrillOptions, folder: Path, stack: AsyncExitStack) -> str:
    """Fork the configured read endpoint until the stack ends; the copy's URL."""
    anvil = _anvil(options)
    source = open_link(read_endpoint(config.chain))
    await stack.enter_async_context(source)
    return await stack.enter_async_context(forked(anvil, source, folder))


@asynccontextmanager
async def _given_back(node: ThrowawayNode, report: DrillReport) -> AsyncIterator[None]:
    """Put the node back as it was, whatever became of the drill, and say so."""
    _, before, _ = await node.head()
    place = await node.keep()
    try:
        yield
    finally:
        with report.stage("given back"):
            await node.give_back(place)
            if (await node.head())[1] != before:
                raise EndpointError("drill", "the node is not where it was before the drill")


def _anvil(options: DrillOptions) -> Path:
    found = options.anvil or shutil.which("anvil")
    if found is None:
        raise ConfigError("--anvil", None, "install Foundry so that `anvil` is on PATH, or name it")
    return Path(found)


def _moved(config: Config, options: DrillOptions, url: str, folder: Path) -> Config:
    """Return the configuration on the throwaway node: its endpoints and folders, no routes."""
    chain = replace(
        config.chain,
        # A fork is polled: its questions go one at a time, and nothing is pushed.
        watch_url=url if options.node_url is None else url.replace("http", "ws", 1),
        read_url=url,
        send_urls=(url,),
        endpoints=(),
        relay_key_file=None,
        block_time_ms=round(PACE_S * MS_PER_S),
        poll_interval_ms=round(PACE_S * MS_PER_S / 2),
    )
    return replace(
        config,
        keeper=replace(config.keeper, mode="live", data_dir=str(folder / "data")),
        chain=chain,
        routes=(),
        telemetry=replace(config.telemetry, listen_port=0),
    )


def _equipped(config: Config, ground: Ground) -> Config:
    """Return the configuration with fresh lanes and the drill's policy around the operator's."""
    folder = Path(config.keeper.data_dir).parent
    lanes = []
    for index in range(LANES):
        path = folder / f"lane{index}.key"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("0x" + secrets.token_hex(32))
        lanes.append(LaneSection(key_file=str(path)))
    helper = bool(config.strategy.parameters.get("through_helper"))
    parameters = {
        "name": config.strategy.name,
        "parameters": config.strategy.parameters,
        "accounts": [each.account for each in ground.chosen],
        "helper": helper,
    }
    strategy = StrategySection(NAME, config.strategy.order, parameters)
    return replace(config, lanes=tuple(lanes), strategy=strategy)


async def _lanes_of(config: Config) -> list[str]:
    async with AsyncExitStack() as stack:
        return [each.address for each in await load_signers(config, stack)]
