"""A node in memory that takes signed bytes: pool, blocks, nonces, receipts, reorgs.

It keeps geth's rules where they matter to lanes (replacement by 10 % on both fields, contiguous
nonces) and lies where a test scripts it to: `script[method]` answers in place of the truth.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from keeper.chain.link.transport import Request
from keeper.domain.errors import EndpointError, RpcError


CHAIN_ID = 31337
TARGET = "0x" + "c0" * 20
GWEI = 10**9


@dataclass(frozen=True)
class Pooled:
    hash: str
    sender: str
    nonce: int
    tip: int
    cap: int
    gas: int
    to: str
    data: str


@dataclass
class Block:
    number: int
    hash: str
    parent: str
    base_fee: int
    transactions: list[Pooled] = field(default_factory=list)


def read(raw: bytes) -> Pooled:
    """Return what signed bytes say, by other code than the code under test."""
    fields = rlp.decode(raw[1:])
    number = [int.from_bytes(each, "big") for each in fields[:5]]
    sender = Account.recover_transaction(raw).lower()
    to, data = "0x" + fields[5].hex(), "0x" + fields[7].hex()
    return Pooled("0x" + keccak(raw).hex(), sender, number[1], *number[2:5], to, data)


class FakeNode:
    """One endpoint; `sent` lists every hash it was given, `reverts` calldata that fails."""

    def __init__(self, name: str = "node") -> None:
        self.name = name
        self.balances: dict[str, int] = {}
        self.nonce_offset: dict[str, int] = {}
        self.codes: dict[str, str] = {}
        self.pool: list[Pooled] = []
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.reverts: dict[str, str] = {}
        self.failing: set[str] = set()  # calldata that fails in a block
        self.script: dict[str, Callable[[Sequence[Any]], Any]] = {}
        self.base_fee = GWEI
        self.final: int | None = None  # what it calls finalized; None: it knows no such tag
        self.chain: list[Block] = [Block(0, self._hash(None, 0), "0x" + "00" * 32, GWEI)]
        self._salt = 0

    @property
    def head(self) -> Block:
        return self.chain[-1]

    def mine(self, count: int = 1, *, empty: bool = False) -> Block:
        for _ in range(count):
            block = Block(
                self.head.number + 1,
                self._hash(self.head.hash, self._salt),
                self.head.hash,
                self.base_fee,
            )
            self.chain.append(block)
            while not empty and (fit := self._next_fit()) is not None:
                block.transactions.append(fit)
                self.pool.remove(fit)
        return self.head

    def rewind(self, depth: int) -> None:
        """Go back; what was in the blocks is gone from chain and pool."""
        del self.chain[len(self.chain) - depth :]
        self._salt += 1

    def reorg(self, depth: int) -> None:
        self.rewind(depth)
        self.mine(depth, empty=True)

    def nonce(self, sender: str, block: Block | None = None) -> int:
        upto = self.head.number if block is None else block.number
        mined = [t for b in self.chain[: upto + 1] for t in b.transactions if t.sender == sender]
        return len(mined) + self.nonce_offset.get(sender, 0)

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        (answer,) = await self.batch([(method, params)], deadline_s=deadline_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        await asyncio.sleep(0)
        answers = []
        for method, params in calls:
            self.asked.append(method)
            answers.append(self.script.get(method, lambda p, m=method: self._truth(m, p))(params))
        for answer in answers:
            if isinstance(answer, EndpointError) and not isinstance(answer, RpcError):
                raise answer
        return answers

    def _truth(self, method: str, params: Sequence[Any]) -> Any:
        plain: dict[str, Callable[[Any], Any]] = {
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_getCode": lambda address, _: self.codes.get(address, "0x"),
            "eth_getBlockByNumber": lambda number, _: self._by_number(number),
            "eth_getBlockByHash": lambda block, _: self._header(self._by_hash(block)),
            "eth_sendRawTransaction": lambda raw: self._take(bytes.fromhex(raw[2:])),
            "eth_getTransactionReceipt": self._receipt,
            "eth_feeHistory": self._fee_history,
        }
        return plain[method](*params) if method in plain else self._at_block(method, params)

    def _by_number(self, number: str) -> Any:
        if number == "finalized":
            return None if self.final is None else self._header(self.chain[self.final])
        at = self.head.number if number == "latest" else int(number, 16)
        return self._header(self.chain[at]) if at < len(self.chain) else None

    def _by_hash(self, block: str) -> Block | None:
        return next((each for each in self.chain if each.hash == block), None)

    def _at_block(self, method: str, params: Sequence[Any]) -> Any:
        block = self._by_hash(params[1]["blockHash"])
        if block is None:
            return RpcError(self.name, -32001, "Resource not found")
        if method == "eth_call":
            data = self.reverts.get(params[0]["data"])
            return "0x" if data is None else RpcError(self.name, 3, "execution reverted", data)
        if method == "eth_getTransactionCount":
            return hex(self.nonce(params[0], block))
        assert method == "eth_getBalance"
        return hex(self.balances.get(params[0], 0))

    def _take(self, raw: bytes) -> Any:
        taken = read(raw)
        self.sent.append(taken.hash)
        if any(each.hash == taken.hash for each in self.pool):
            return RpcError(self.name, -32000, "already known")
        if taken.nonce < self.nonce(taken.sender):
            return RpcError(self.name, -32000, "nonce too low")
        rival = [p for p in self.pool if (p.sender, p.nonce) == (taken.sender, taken.nonce)]
        if rival:
            old = rival[0]
            if taken.tip * 10 < old.tip * 11 or taken.cap * 10 < old.cap * 11:
                return RpcError(self.name, -32000, "replacement transaction underpriced")
            self.pool.remove(old)
        self.pool.append(taken)
        return taken.hash

    def _next_fit(self) -> Pooled | None:
        for each in self.pool:
            if each.nonce == self.nonce(each.sender) and each.cap >= self.base_fee:
                return each
        return None

    def _fee_history(self, count: str, newest: str, _: Any) -> Any:
        """Return the lowest tip of each of the last blocks, 0 for the empty ones, as geth does."""
        at = int(newest, 16)
        blocks = self.chain[max(0, at - int(count, 16) + 1) : at + 1]
        return {
            "gasUsedRatio": [0.5 * bool(block.transactions) for block in blocks],
            "reward": [
                [
                    hex(
                        min(
                            (min(t.tip, t.cap - block.base_fee) for t in block.transactions),
                            default=0,
                        )
                    )
                ]
                for block in blocks
            ],
        }

    def _receipt(self, wanted: str) -> Any:
        for block in self.chain:
            for index, each in enumerate(block.transactions):
                if each.hash == wanted:
                    return {
                        "transactionHash": wanted,
                        "blockNumber": hex(block.number),
                        "blockHash": block.hash,
                        "transactionIndex": hex(index),
                        "status": "0x0" if each.data in self.failing else "0x1",
                        "gasUsed": hex(21_000),
                        "effectiveGasPrice": hex(min(each.cap, block.base_fee + each.tip)),
                    }
        return None

    def _header(self, block: Block | None) -> dict[str, Any] | None:
        return block and {
            "number": hex(block.number),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(1_700_000_000 + block.number),
            "baseFeePerGas": hex(block.base_fee),
            "gasLimit": hex(30_000_000),
            "gasUsed": hex(15_000_000),
        }

    @staticmethod
    def _hash(parent: str | None, salt: int) -> str:
        return "0x" + hashlib.sha256(f"{parent}/{salt}".encode()).hexdigest()
