"""Lanes before a node that keeps geth's pool: what the fault rows of sending stand on.

The proxy between keeper and anvil records every raw transaction it is given and enforces what
anvil does not (`tests.world.geth_pool`); a test puts its fault in front. Blocks are made here and
told to the executor, and a block is over when the executor has followed it: no test waits for a
clock. It knows nothing of what is right.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from eth_account import Account

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.ledger.rows import CapParameters, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.sender import LaneExecutor
from keeper.domain.effects import Command
from keeper.domain.events import CommandCommitted, CommandSent
from tests.integration.lane_world import (
    CHAIN_ID,
    COUNTER,
    FAST,
    Behind,
    Chain,
    Told,
    command,
    prepare,
    secret,
)
from tests.unit.chain.scripted_node import until
from tests.world.geth_pool import GethRules, PoolLimits, read
from tests.world.rpc_proxy import Call, Onward, Reply, RpcProxy, Rule, rpc_proxy


GWEI = 10**9
# Nothing but the fault at hand moves the bytes: no bump for waiting, no second sending.
STILL = replace(FAST, follow=replace(FAST.follow, bump_blocks=10**9))
NEVER_AGAIN = replace(STILL, follow=replace(STILL.follow, rebroadcast_blocks=10**9))


class SendWorld(Behind):
    """A node, the proxy before it, geth's pool in the proxy, and what was sent to it."""

    def __init__(self, node: Node, proxy: RpcProxy, limits: PoolLimits) -> None:
        super().__init__(node, proxy.ws_url)
        self.proxy = proxy
        self.rules = GethRules(proxy.forward, limits)
        self.sent: list[str] = []  # raw transactions in the order they came, whatever became
        proxy.rules = [self._listen, self.rules]

    @property
    def url(self) -> str:
        return self.proxy.url

    def fault(self, *rules: Rule) -> None:
        """Put rules between the ear and the pool, in the place of those before."""
        self.proxy.rules = [self._listen, *rules, self.rules]

    async def ask(self, method: str, *params: Any) -> Any:
        """Ask through the rules, as a keeper would; its result, None for an error."""
        return (await self.proxy.ask(Call(method, list(params)))).get("result")

    async def base_fee(self, wei: int) -> None:
        """Fix the base fee of the next block."""
        await asyncio.to_thread(self.call, "anvil_setNextBlockBaseFeePerGas", hex(wei))

    async def block(self, executing: LaneExecutor, base_fee_wei: int | None = None) -> int:
        """Mine one block, and wait until the executor has followed it; its number."""
        if base_fee_wei is not None:
            await self.base_fee(base_fee_wei)
        await self.ask("evm_mine")
        return await self.follow(executing)

    async def blocks(self, executing: LaneExecutor, count: int) -> None:
        """Mine and follow several blocks."""
        for _ in range(count):
            await self.block(executing)

    async def follow(self, executing: LaneExecutor) -> int:
        """Tell the executor of the head, and wait until it has followed it; its number."""
        head = await asyncio.to_thread(self.call, "eth_getBlockByNumber", "latest", False)
        number = int(head["number"], 16)
        executing.on_block(number, head["hash"])
        await until(lambda: executing.followed == head["hash"])
        return number

    async def _listen(self, call: Call, onward: Onward) -> Reply:
        if call.method == "eth_sendRawTransaction":
            self.sent.append(call.params[0])
        return await onward(call)


@asynccontextmanager
async def send_world(lanes: int = 1, limits: PoolLimits | None = None) -> AsyncIterator[SendWorld]:
    """Run a node with funded lanes behind geth's pool."""
    with Node(NodeOptions(mining=False)) as node:
        await asyncio.to_thread(prepare, node, lanes)
        async with rpc_proxy(node.url) as proxy:
            yield SendWorld(node, proxy, limits or PoolLimits())


async def submitted(
    world: Chain, executing: LaneExecutor, told: Told, *identifiers: int, **changes: Any
) -> list[CommandCommitted]:
    """Submit commands, wait until each was given to its routes; what was committed for each."""
    commands = [decided(world, identifier, **changes) for identifier in identifiers]
    executing.submit(commands)
    await told.until(lambda: {each.command_id for each in told.of(CommandSent)} >= set(identifiers))
    return [each for each in told.of(CommandCommitted) if each.command_id in identifiers]


def decided(world: Chain, identifier: int, **changes: Any) -> Command:
    """Return a command decided on the head; `changes` are fields of it, or of `command`."""
    known = {"account", "fails", "blocks", "tip_wei", "rank"}
    made = command(world, identifier, **{k: v for k, v in changes.items() if k in known})
    return replace(made, **{key: value for key, value in changes.items() if key not in known})


def fees(raws: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return (nonce, tip, cap) of raw transactions, each once, in the order they first came."""
    seen = [read(raw) for raw in dict.fromkeys(raws)]
    return [(each.nonce, each.tip, each.cap) for each in seen]


def stranger(nonce: int, tip_wei: int, cap_wei: int, lane: int = 0) -> str:
    """Return raw bytes that a lane's key signed elsewhere: they count one for account 99."""
    to = bytes.fromhex(COUNTER[2:])
    fields = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "to": to, "value": 0, "gas": 100_000}
    offer = {"maxPriorityFeePerGas": tip_wei, "maxFeePerGas": cap_wei}
    data = bytes.fromhex(f"{99:064x}{0:064x}")
    signed = Account.sign_transaction(fields | offer | {"data": data}, secret(lane + 1))
    return "0x" + bytes(signed.raw_transaction).hex()


def slots_of(executing: LaneExecutor) -> list[Slot]:
    """Return every slot that the executor holds in memory, by lane and nonce."""
    lanes = executing._dispatch.lanes
    return [lane.slots[nonce] for lane in lanes for nonce in sorted(lane.slots)]


async def written(executing: LaneExecutor) -> list[Slot]:
    """Return every open slot of the executor's ledger, by lane and nonce."""
    return await executing._ledger.open_slots()


async def ledger_of(file: Any) -> Ledger:
    """Open a ledger that its executor has left; the caller closes it."""
    return await Ledger.open(file, CHAIN_ID, CapParameters())
