"""Reads pinned to one block hash, over any `Rpc`: snapshots, checks, preflights and receipts.

It tells "the chain says no" (CallFailed) from "nobody answered" (EndpointError) and never turns one
into the other. It knows nothing of what a call means, and retries nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from keeper.chain.link import wire
from keeper.chain.link.fanout import in_order
from keeper.chain.link.transport import Request, Rpc
from keeper.chain.link.wire import Receipt
from keeper.domain.errors import ConfigError, EndpointError, MalformedReply, RpcError
from keeper.domain.events import Log
from keeper.domain.units import Address, Hash
from keeper.ports import CallFailed, Header


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """How much is asked at once. All figures must be positive."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    call_deadline_ms: int = 10_000
    batch_calls_max: int = 100
    batches_at_once_max: int = 4
    logs_range_blocks_max: int = 2_000

    def __post_init__(self) -> None:
        for key in self.__slots__:
            if getattr(self, key) <= 0:
                raise ConfigError(f"reader.{key}", getattr(self, key), "use a positive number")


class NodeReader:
    """A `ChainReader` over one endpoint; every method raises EndpointError."""

    def __init__(self, rpc: Rpc, config: ReaderConfig) -> None:
        self._rpc = rpc
        self._config = config
        self._deadline_s = config.call_deadline_ms / 1000

    async def header(self, number: int | str) -> Header:
        """See `ChainReader.header`; RpcError where the chain has no such block (yet)."""
        place = hex(number) if isinstance(number, int) else number
        raw = await self._call("eth_getBlockByNumber", [place, False])
        if raw is None:
            raise RpcError(self._rpc.name, _NOT_FOUND, f"no block {place}")
        return wire.header(self._rpc.name, raw)

    async def call_many(
        self, calls: Sequence[tuple[Address, str]], block: Hash, gas: int | None = None
    ) -> list[str | CallFailed]:
        """See `ChainReader.call_many`; RpcError where the block is not on the node's branch.

        A call to nobody ("") runs its data as the init code of a contract that is not kept.
        """
        requests = [_eth_call(to, data, block, gas) for to, data in calls]
        size = self._config.batch_calls_max
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        works = [partial(self._rpc.batch, b, deadline_s=self._deadline_s) for b in batches]
        answers = await in_order(works, self._config.batches_at_once_max)
        return [self._called(answer) for batch in answers for answer in batch]

    async def logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, Hash, Log]]:
        """See `ChainReader.logs`; an empty `topics` means any. Ranges halve on "too many"."""
        found: dict[tuple[Hash, int], tuple[int, Hash, Log]] = {}
        if not addresses:
            return []  # to a node an empty list would mean every address
        start, span = first, self._config.logs_range_blocks_max
        while start <= last:
            end = min(last, start + span - 1)
            try:
                part = await self._logs(addresses, topics, start, end)
            except EndpointError as error:
                if end == start or not asked_too_much(error):
                    raise
                span = (end - start + 1) // 2
                continue
            found.update(((block, log.log_index), (n, block, log)) for n, block, log in part)
            start = end + 1
        return sorted(found.values(), key=lambda item: (item[0], item[2].log_index, item[1]))

    async def code(self, address: Address, block: Hash) -> str:
        """See `ChainReader.code`."""
        raw = await self._call("eth_getCode", [address, _pinned(block)])
        return wire.hex_data(self._rpc.name, raw, "contract code")

    async def storage(self, address: Address, slot: Hash, block: Hash) -> Hash:
        """See `RulesReader.storage`."""
        raw = await self._call("eth_getStorageAt", [address, slot, _pinned(block)])
        return wire.block_hash(self._rpc.name, raw, "storage word")

    async def balance(self, address: Address, block: Hash) -> int:
        """Return the balance in wei at the block hash."""
        raw = await self._call("eth_getBalance", [address, _pinned(block)])
        return wire.quantity(self._rpc.name, raw, "balance")

    async def transaction_count(self, address: Address, block: Hash | str) -> int:
        """Return the sender's next nonce at a block hash, or at a tag ("latest", "pending")."""
        place = _pinned(block) if block.startswith("0x") else block
        raw = await self._call("eth_getTransactionCount", [address, place])
        return wire.quantity(self._rpc.name, raw, "transaction count")

    async def receipt(self, transaction: Hash) -> Receipt | None:
        """Return the receipt, or None: not included, not indexed yet, or unknown to this node."""
        raw = await self._call("eth_getTransactionReceipt", [transaction])
        if raw is None:
            return None
        receipt = wire.receipt(self._rpc.name, raw)
        if receipt.transaction != transaction:
            raise MalformedReply(self._rpc.name, "the receipt of another transaction")
        return receipt

    async def _logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> Sequence[tuple[int, Hash, Log]]:
        criteria: dict[str, Any] = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": list(addresses),
        }
        if topics:
            criteria["topics"] = [list(topics)]
        raw = await self._call("eth_getLogs", [criteria])
        found = wire.logs(self._rpc.name, raw)
        if any(not first <= number <= last for number, _, _ in found):
            raise MalformedReply(self._rpc.name, f"a log from outside blocks {first} to {last}")
        return found

    async def _call(self, method: str, params: Sequence[Any]) -> Any:
        return await self._rpc.call(method, params, deadline_s=self._deadline_s)

    def _called(self, answer: Any | RpcError) -> str | CallFailed:
        if isinstance(answer, RpcError):
            return call_failure(answer)
        return wire.hex_data(self._rpc.name, answer, "call result")


_NOT_FOUND: Final = -32001
_REVERTED: Final = 3
# Halts of the EVM that are the contract's own doing. Out of gas is not among them: whether it is
# the contract's or the node's cap cannot be told, so it stays an error.
_EVM_HALTS: Final = ("invalid opcode", "evm error invalidfeopcode", "evm error opcodenotfound")
_TOO_MUCH: Final = (
    "too many",
    "too large",
    "more than",
    "exceed",
    "range",
    "response size",
    "limited to",
    "timeout",
    "timed out",
)


def call_failure(error: RpcError) -> CallFailed:
    """Return the revert that an `eth_call` error stands for; raises the error if it is none.

    Code 3 with data is geth's and anvil's shape; others put the data or the words elsewhere.
    """
    words = error.message.lower()
    if error.code == _REVERTED or error.data is not None or "revert" in words:
        return CallFailed(error.data or "0x")
    if words.startswith(_EVM_HALTS):
        return CallFailed("0x")
    raise error


def _eth_call(to: Address, data: str, block: Hash, gas: int | None) -> Request:
    call: dict[str, str] = {"to": to, "data": data} if to else {"data": data}
    if gas is not None:
        call["gas"] = hex(gas)
    return "eth_call", [call, _pinned(block)]


def _pinned(block: Hash) -> dict[str, Any]:
    """Return EIP-1898's block parameter: this block, and only while it is on the node's branch."""
    return {"blockHash": block, "requireCanonical": True}


def asked_too_much(error: EndpointError) -> bool:
    """Whether a smaller range may be answered; the providers' words for it differ."""
    if isinstance(error, RpcError):
        return any(word in error.message.lower() for word in _TOO_MUCH)
    return isinstance(error, MalformedReply) and "more than" in error.problem
