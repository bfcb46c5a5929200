"""A node, funded lanes and a counter contract: what the tests of lanes on a real node stand on.

The counter adds one to a storage slot chosen by the first word of the calldata, so that the chain
itself says how often each account was acted on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from deploy.devnet.chain.node import Node
from keeper.chain.keys.signer import LocalSigner, address_of
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.link.transport import TransportLimits
from keeper.chain.link.websocket import RpcSocket
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.sending.dispatch import Point, no_point
from keeper.chain.sending.farewell import FarewellParameters
from keeper.chain.sending.nurse import FollowParameters
from keeper.chain.sending.preflight import PreflightParameters
from keeper.chain.sending.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.domain.effects import Call, Command
from keeper.domain.errors import KeeperError
from keeper.domain.events import Event
from keeper.runtime.clock import SystemClock
from tests.unit.chain.scripted_node import PATIENCE_S, until


CHAIN_ID = 31337
UNHURRIED = TransportLimits(heartbeat_s=60.0)  # a connection may take its time to answer a ping
COUNTER = "0x00000000000000000000000000000000000c0de1"
# slot = calldata[0]; if calldata[32] then revert(0xdeadbeef); sstore(slot, sload(slot) + 1)
COUNTER_CODE = "0x6020356011576000358054600101905500" + "5b63deadbeef6000526004601cfd"
SPEND_WEI = 10**17
FUNDS_WEI = 100 * 10**18
FAST = ExecutionParameters(
    recovery_retry_ms=50,
    # Heads come when a test makes them; answers, receipts and disks take the time they take.
    head_age_ms_max=600_000,
    catch_up_ms_max=60_000,
    preflight=PreflightParameters(deadline_ms_max=60_000),
    follow=FollowParameters(rebroadcast_blocks=1, poll_ms=600_000, deadline_ms_max=60_000),
    farewell=FarewellParameters(wait_ms_max=0),
)


@dataclass
class Behind:
    """A node as the executor's tests want one, with something between it and the keeper."""

    node: Node
    ws_url: str

    def call(self, method: str, *params: Any) -> Any:
        return self.node.call(method, *params)


Chain = Node | Behind


def secret(number: int) -> bytes:
    return bytes([number]) * 32


def prepare(node: Node, lanes: int) -> list[str]:
    """Put the counter on the chain and fund the lanes; return their addresses."""
    node.call("anvil_setCode", COUNTER, COUNTER_CODE)
    addresses = [address_of(PrivateKey(secret(number + 1))) for number in range(lanes)]
    for address in addresses:
        node.call("anvil_setBalance", address, hex(FUNDS_WEI))
    node.call("evm_mine")
    return addresses


def counted(node: Chain, account: int) -> int:
    """Return how often the chain saw an action for an account."""
    return int(node.call("eth_getStorageAt", COUNTER, hex(account), "latest"), 16)


def command(
    node: Chain,
    identifier: int,
    account: int | None = None,
    *,
    fails: bool = False,
    blocks: int = 50,
    tip_wei: int = 10**9,
    rank: int | None = None,
) -> Command:
    """Return a command decided on the node's head that adds one to its account's counter."""
    head = node.call("eth_getBlockByNumber", "latest", False)
    number = int(head["number"], 16)
    account = identifier if account is None else account
    return Command(
        id=identifier,
        venue="counter",
        account=account,
        kind="act",
        call=Call(COUNTER, "0x" + f"{account:064x}{int(fails):064x}"),
        gas=100_000,
        spend_max_wei=SPEND_WEI,
        tip_budget_wei=100_000 * tip_wei,
        deadline_block=number + blocks,
        rank=identifier if rank is None else rank,
        sender=None,
        decided_number=number,
        decided_hash=head["hash"],
    )


class Told:
    """What the executor posted, in order, and what it reported as survived."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports: list[tuple[str, KeeperError]] = []
        self._news = asyncio.Event()

    def post(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def report(self, what: str, error: KeeperError) -> None:
        self.reports.append((what, error))

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until something posted makes `holds` true."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def executor(
    node: Chain,
    ledger_file: Path,
    lanes: int = 1,
    parameters: ExecutionParameters = FAST,
    caps: CapParameters | None = None,
    point: Point = no_point,
    **around: Any,
) -> AsyncIterator[tuple[LaneExecutor, Told]]:
    """Run an executor on the node until the block ends; recovered when it is entered.

    `around` takes the place of what `Surroundings` is given here: routes, witnesses, doubts.
    """
    told = Told()
    ledger = await Ledger.open(ledger_file, CHAIN_ID, caps or CapParameters())
    try:
        async with RpcSocket("node", node.ws_url, SystemClock(), UNHURRIED, PATIENCE_S) as rpc:
            signers = [LocalSigner(secret(n + 1), CHAIN_ID, [COUNTER]) for n in range(lanes)]
            given: dict[str, Any] = {
                "rpc": rpc,
                "witnesses": [],
                "routes": [PublicRoute(rpc, PATIENCE_S)],
                "reason": lambda venue, data: f"{venue}:{data}",
                "clock": SystemClock(),
                "report": told.report,
            }
            surroundings = Surroundings(**given | around)
            executing = LaneExecutor(CHAIN_ID, surroundings, ledger, signers, parameters, point)
            task = asyncio.create_task(executing.run(told.post))
            try:
                await told.until(lambda: len(told.events) >= lanes or task.done())
                if task.done():
                    await task
                yield executing, told
            finally:
                task.cancel()
                await asyncio.wait([task])
    finally:
        await ledger.close()


async def followed(node: Chain, executing: LaneExecutor) -> int:
    """Mine a block, tell the executor, and wait until it has followed it; the block's number."""
    number = await asyncio.to_thread(mine, node, executing)
    head = await asyncio.to_thread(node.call, "eth_getBlockByNumber", "latest", False)
    await until(lambda: executing.followed == head["hash"])
    return number


def mine(node: Chain, executing: LaneExecutor) -> int:
    """Mine a block and tell the executor; return its number."""
    node.call("evm_mine")
    return tell(node, executing)


def tell(node: Chain, executing: LaneExecutor) -> int:
    """Tell the executor of the node's head; return its number."""
    head = node.call("eth_getBlockByNumber", "latest", False)
    executing.on_block(int(head["number"], 16), head["hash"])
    return int(head["number"], 16)
