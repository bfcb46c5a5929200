"""A node over the simulated chain, behind the `Watch` protocol: it is slow, it fails and it lies.

Every answer is what an honest node would give, then spoilt where the seed says so. It never cuts
an answer in a way no client could find out: logs go missing by whole addresses, which the bloom
of the header gives away. It must not know the keeper's state.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from keeper.chain.link.subscription import Arrival, Subscription
from keeper.chain.link.transport import Request
from keeper.chain.sealing.completeness import bloom_mask
from keeper.domain.errors import DeadlineExceeded, EndpointUnreachable, RpcError
from keeper.domain.events import Log
from tests.simulation import places as on
from tests.simulation.sim_chain import GAS_LIMIT, Block, Bytes, SimChain
from tests.simulation.venue_auctions import ERRORS
from tests.simulation.virtual_loop import VirtualClock


FINAL_BLOCKS = 64
BALANCE_WEI = 10**21


class SimNode:
    """One endpoint; `faulty` says how often it misbehaves, 0.0 is honest and quick."""

    def __init__(
        self, name: str, chain: SimChain, chance: random.Random, clock: VirtualClock
    ) -> None:
        self.name = name
        self.faulty = 1.0
        self.drops = 0
        self.lies = 0
        self._chain = chain
        self._chance = chance
        self._clock = clock
        self._subscription: Subscription | None = None
        self._plain: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(on.CHAIN_ID),
            "eth_getCode": lambda _, __: "0x",
            "eth_getBlockByNumber": self._by_number,
            "eth_getBlockByHash": self._by_hash,
            "eth_getLogs": self._logs,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionReceipt": self._receipt,
            "eth_feeHistory": self._fee_history,
            "eth_getTransactionCount": self._nonce,
            "eth_getBalance": self._balance,
            "eth_call": self._call,
            "eth_sendRawTransaction": self._send,
        }

    # ── the Watch protocol ──

    async def up(self) -> None:
        await asyncio.sleep(0.05)

    def drop(self, problem: str) -> None:
        self.drops += 1
        if self._subscription is not None:
            self._subscription.end(EndpointUnreachable(self.name, problem))
            self._subscription = None

    def head_seen(self) -> None:
        """Nothing to note."""

    def head_late(self) -> None:
        """Nothing to note."""

    async def subscribe(
        self, topic: str, *, deadline_s: float, capacity: int, lossy: bool
    ) -> Subscription:
        await self._wait(deadline_s)
        self._subscription = Subscription(self.name, "0x1", capacity, lossy=lossy)
        return self._subscription

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        (answer,) = await self.batch([(method, params)], deadline_s=deadline_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        await self._wait(deadline_s)
        answers = [self._spoilt(method, self._plain[method](*params)) for method, params in calls]
        if self._unlucky(0.01):
            raise DeadlineExceeded(self.name, "it did the work and did not say so")
        return answers

    # ── notifications ──

    def tell(self, block: Block) -> None:
        """Send a newHeads notification: late, twice, out of order, garbled or not at all."""
        if self._unlucky(0.1):
            return
        raw = "what is this" if self._unlucky(0.02) else self._header(block)
        for _ in range(2 if self._unlucky(0.05) else 1):
            late_s = self._chance.uniform(0.0, 4.0) if self._unlucky(0.2) else 0.01
            asyncio.get_running_loop().call_later(late_s, self._deliver, raw)

    def _deliver(self, raw: Any) -> None:
        if self._subscription is not None:
            self._subscription.deliver(Arrival(self._clock.monotonic_ns(), raw))

    # ── faults ──

    def _unlucky(self, rate: float) -> bool:
        return self._chance.random() < rate * self.faulty

    async def _wait(self, deadline_s: float) -> None:
        delay_s = self._chance.uniform(0.001, 0.2)
        if self._unlucky(0.02):
            delay_s = self._chance.uniform(0.5, 6.0)
        if self._unlucky(0.01):
            self.drop("the connection broke")
            raise EndpointUnreachable(self.name, "the connection broke")
        await asyncio.sleep(min(delay_s, deadline_s))
        if delay_s >= deadline_s:
            raise DeadlineExceeded(self.name, f"no answer in {deadline_s} s")

    def _spoilt(self, method: str, answer: Any) -> Any:
        """Return what this node says in place of the truth."""
        lie = LIES.get(method)
        if lie is None or isinstance(answer, RpcError) or not self._unlucky(0.05):
            return answer
        self.lies += 1
        return lie(self, answer)

    def lie_about_logs(self, logs: list[Any]) -> Any:
        """Leave out all, or an address whole; give them twice, or in another order."""
        kind = self._chance.randrange(5)
        if kind == 0 or not logs:
            return []
        if kind == 1:
            silent = self._chance.choice(logs)["address"]
            return [log for log in logs if log["address"] != silent]
        if kind == 2:
            return logs + logs
        if kind == 3:
            return self._chance.sample(logs, len(logs))
        return RpcError(self.name, -32_005, "query returned more than 10000 results")

    def lie_about_blocks(self, answer: Any) -> Any:
        """Not know it, or know an older one."""
        if answer is None or self._chance.random() < 0.5:
            return None
        older = self._chain.at(int(answer["number"], 16) - self._chance.randint(1, 3))
        return answer if older is None else self._header(older)

    def lie_about_nothing(self, _: Any) -> Any:
        """Not know it."""
        return None

    # ── the truth ──

    def _by_number(self, number: str, _: bool) -> Any:
        head = self._chain.head.number
        named = {"latest": head, "finalized": max(on.START_BLOCK, head - FINAL_BLOCKS)}
        block = self._chain.at(named[number] if number in named else int(number, 16))
        return None if block is None else self._header(block)

    def _by_hash(self, block: str, _: bool) -> Any:
        found = self._chain.known.get(block)
        return None if found is None else self._header(found)

    def _logs(self, query: dict[str, Any]) -> Any:
        if "blockHash" in query:
            found = self._chain.known.get(query["blockHash"])
            if found is None:
                return RpcError(self.name, -32_000, "unknown block")
            blocks = [found]
        else:
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            numbers = range(first, min(last, self._chain.head.number) + 1)
            blocks = [block for n in numbers if (block := self._chain.at(n)) is not None]
        wanted = set(query["address"])
        return [_log(b, log) for b in blocks for log in b.logs if log.address in wanted]

    def _block_receipts(self, block: str) -> Any:
        found = self._chain.known.get(block)
        return None if found is None else [{"logs": [_log(found, log) for log in found.logs]}]

    def _fee_history(self, count: str, newest: str, _: Any) -> Any:
        """Return the lowest tip of each of the last blocks, 0 for the empty ones, as geth does."""
        at = int(newest, 16)
        numbers = range(at - int(count, 16) + 1, at + 1)
        blocks = [block for number in numbers if (block := self._chain.at(number)) is not None]
        return {
            "gasUsedRatio": [0.5 * bool(block.placed) for block in blocks],
            "reward": [
                [hex(min((each.price - block.base_fee for each in block.placed), default=0))]
                for block in blocks
            ],
        }

    def _receipt(self, transaction: str) -> Any:
        found = self._chain.find(transaction)
        if found is None:
            return None
        block, placed, index = found
        return {
            "transactionHash": transaction,
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "transactionIndex": hex(index),
            "status": "0x0" if placed.problem else "0x1",
            "gasUsed": hex(placed.gas_used),
            "effectiveGasPrice": hex(placed.price),
        }

    def _at(self, place: Any) -> Block | None:
        if isinstance(place, str):
            return self._chain.head
        block = self._chain.known.get(place["blockHash"])
        return block if block is not None and self._chain.is_canonical(block) else None

    def _nonce(self, sender: str, place: Any) -> Any:
        block = self._at(place)
        return self._lost() if block is None else hex(block.nonces.get(sender, 0))

    def _balance(self, _: str, place: Any) -> Any:
        block = self._at(place)
        if block is None:
            return self._lost()
        upto = self._chain.canonical[: block.number - on.START_BLOCK + 1]
        paid = sum(each.gas_used * each.price for one in upto for each in one.placed)
        return hex(BALANCE_WEI - paid)

    def _call(self, request: dict[str, Any], place: Any) -> Any:
        block = self._at(place)
        if block is None:
            return self._lost()
        problem = self._chain.try_call(block, request["from"], request["to"], request["data"])
        if problem is None:
            return "0x"
        return RpcError(self.name, 3, "execution reverted", ERRORS.get(problem, "0x"))

    def _send(self, raw: str) -> Any:
        sent = read(bytes.fromhex(raw[2:]))
        if self._unlucky(0.04):
            return RpcError(self.name, -32_000, "txpool is full")
        refused = self._chain.offer(sent)
        return sent.hash if refused is None else RpcError(self.name, -32_000, refused)

    def _lost(self) -> RpcError:
        return RpcError(self.name, -32_000, "header not found")

    def _header(self, block: Block) -> dict[str, Any]:
        return {
            "number": hex(block.number),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(block.timestamp),
            "baseFeePerGas": hex(block.base_fee),
            "gasLimit": hex(GAS_LIMIT),
            "gasUsed": hex(block.gas_used),
            "logsBloom": _bloom(block.logs),
        }


LIES: dict[str, Callable[[SimNode, Any], Any]] = {
    "eth_getLogs": SimNode.lie_about_logs,
    "eth_getBlockByNumber": SimNode.lie_about_blocks,
    "eth_getBlockByHash": SimNode.lie_about_nothing,
    "eth_getTransactionReceipt": SimNode.lie_about_nothing,
    "eth_getBlockReceipts": SimNode.lie_about_nothing,
}


def read(raw: bytes) -> Bytes:
    """Return what signed bytes say, by other code than the code under test."""
    fields = rlp.decode(raw[1:])
    _, nonce, tip, cap, gas = (int.from_bytes(each, "big") for each in fields[:5])
    sender = str(Account.recover_transaction(raw)).lower()
    to, data = "0x" + fields[5].hex(), "0x" + fields[7].hex()
    return Bytes("0x" + keccak(raw).hex(), sender, nonce, tip, cap, gas, to, data)


def _log(block: Block, log: Log) -> dict[str, Any]:
    return {
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "logIndex": hex(log.log_index),
        "transactionHash": log.transaction,
        "blockNumber": hex(block.number),
        "blockHash": block.hash,
        "removed": False,
    }


@lru_cache(maxsize=4096)
def _mask(item: str) -> int:
    return bloom_mask(bytes.fromhex(item[2:]))


def _bloom(logs: Sequence[Log]) -> str:
    bloom = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bloom |= _mask(item)
    return f"0x{bloom:0512x}"
