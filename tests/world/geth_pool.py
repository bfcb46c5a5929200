"""geth's pool, as far as lanes can feel it, as a rule of `RpcProxy` in front of anvil.

anvil drops what cannot pay now, takes any higher fee cap for a replacement and counts no slots; a
test against it alone would lie. This pool keeps what geth keeps, refuses what geth refuses in
geth's words and code (-32000), and gives anvil only what could be included next
(go-ethereum core/txpool/legacypool, core/txpool/errors.go, internal/ethapi SubmitTransaction).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from tests.world.rpc_proxy import Call, Onward, Reply, Rule


@dataclass(frozen=True)
class Pooled:
    """One EIP-1559 transaction, as its bytes say."""

    hash: str
    raw: str
    sender: str
    nonce: int
    tip: int
    cap: int
    gas: int
    value: int

    @property
    def cost(self) -> int:
        return self.gas * self.cap + self.value


@dataclass
class PoolLimits:
    """geth's defaults, with the global ones small enough to be reached in a test."""

    account_slots: int = 16  # executable transactions of one sender kept when the pool is over-full
    account_queue: int = 64  # non-executable ones of one sender, always
    global_slots: int = 5_120
    pool_max: int = 6_144
    price_bump_percent: int = 10
    fee_cap_wei: int = 10**18
    bytes_max: int = 128 * 1024
    gas_max: int = 2**24  # EIP-7825, since Osaka


class PoolRefused(Exception):
    """What geth answers, with code -32000."""


@dataclass
class Holder:
    """What the chain says of one sender."""

    nonce: int
    balance: int
    delegated: bool = False


@dataclass
class GethPool:
    """The pool itself, pure: `add` and `settle` are given what the chain says."""

    limits: PoolLimits = field(default_factory=PoolLimits)
    by_sender: dict[str, dict[int, Pooled]] = field(default_factory=dict)
    included: dict[str, Pooled] = field(default_factory=dict)  # for when a reorg takes them back
    dropped: list[str] = field(default_factory=list)

    def find(self, transaction: str) -> Pooled | None:
        return next((each for each in self._all() if each.hash == transaction), None)

    def executable(self, sender: str, nonce: int) -> list[Pooled]:
        """Return the sender's transactions without a gap from its state nonce."""
        slots = self.by_sender.get(sender, {})
        found = []
        while nonce in slots:
            found.append(slots[nonce])
            nonce += 1
        return found

    def add(self, fresh: Pooled, sender: Holder) -> None:
        """Take a transaction or raise PoolRefused, checking in geth's order."""
        fee = fresh.gas * fresh.cap
        if fee > self.limits.fee_cap_wei:
            most = self.limits.fee_cap_wei / 1e18
            words = f"tx fee ({fee / 1e18:.2f} ether) exceeds the configured cap"
            raise PoolRefused(f"{words} ({most:.2f} ether)")
        if self.find(fresh.hash) is not None:
            raise PoolRefused("already known")
        self._check(fresh, sender)
        slots = self.by_sender.setdefault(fresh.sender, {})
        old = slots.get(fresh.nonce)
        if old is not None and not self._replaces(fresh, old):
            raise PoolRefused("replacement transaction underpriced")
        if old is None:
            self._make_room(fresh)
        slots[fresh.nonce] = fresh
        self._cut(sender_nonces={fresh.sender: sender.nonce})

    def settle(self, sender: str, state: Holder) -> None:
        """Follow the chain: include, take back after a reorg, drop what can never be paid."""
        slots = self.by_sender.setdefault(sender, {})
        for nonce in [nonce for nonce in slots if nonce < state.nonce]:
            gone = slots.pop(nonce)
            self.included[gone.hash] = gone
        for back in [each for each in self.included.values() if each.sender == sender]:
            if back.nonce >= state.nonce and back.nonce not in slots:
                slots[back.nonce] = self.included.pop(back.hash)
        for nonce, each in list(slots.items()):
            if each.cost > state.balance:
                self._drop(sender, nonce)
        self._cut(sender_nonces={sender: state.nonce})

    def drop(self, transaction: str) -> None:
        found = self.find(transaction)
        if found is not None:
            self._drop(found.sender, found.nonce)

    def _check(self, fresh: Pooled, sender: Holder) -> None:
        if len(fresh.raw) // 2 - 1 > self.limits.bytes_max:
            raise PoolRefused("oversized data")
        if fresh.gas > self.limits.gas_max:
            most = f"(cap: {self.limits.gas_max}, tx: {fresh.gas})"
            raise PoolRefused(f"transaction gas limit too high {most}")
        if fresh.tip > fresh.cap:
            raise PoolRefused("max priority fee per gas higher than max fee per gas")
        if fresh.tip < 1:
            raise PoolRefused("transaction underpriced: gas tip cap 0, minimum needed 1")
        if fresh.nonce < sender.nonce:
            words = f"nonce too low: next nonce {sender.nonce}, tx nonce {fresh.nonce}"
            raise PoolRefused(words)
        slots = self.by_sender.get(fresh.sender, {})
        spent = sum(each.cost for nonce, each in slots.items() if nonce != fresh.nonce)
        if fresh.cost + spent > sender.balance:
            words = f"balance {sender.balance}, queued cost {spent}, tx cost {fresh.cost}"
            raise PoolRefused(f"insufficient funds for gas * price + value: {words}")
        if sender.delegated and fresh.nonce != sender.nonce:
            raise PoolRefused("gapped-nonce tx from delegated accounts")
        if sender.delegated and any(nonce != fresh.nonce for nonce in slots):
            raise PoolRefused("in-flight transaction limit reached for delegated accounts")

    def _replaces(self, fresh: Pooled, old: Pooled) -> bool:
        """legacypool/list.go Add: both strictly higher, and both by the bump at least."""
        percent = 100 + self.limits.price_bump_percent
        enough = fresh.cap >= old.cap * percent // 100 and fresh.tip >= old.tip * percent // 100
        if fresh.cap <= old.cap or fresh.tip <= old.tip or not enough:
            return False
        self.dropped.append(old.hash)
        return True

    def _make_room(self, fresh: Pooled) -> None:
        everything = list(self._all())
        if len(everything) < self.limits.pool_max:
            return
        cheapest = min(everything, key=lambda each: (each.cap, each.tip, -each.nonce))
        if fresh.cap <= cheapest.cap:
            raise PoolRefused("transaction underpriced")
        if cheapest.sender == fresh.sender:
            # Evicting one's own lower nonce would only open a gap: geth calls it full.
            raise PoolRefused("txpool is full")
        self._drop(cheapest.sender, cheapest.nonce)

    def _cut(self, sender_nonces: dict[str, int]) -> None:
        """Cap the queue of a sender, and its executable ones where the whole pool is over-full."""
        for sender, nonce in sender_nonces.items():
            ready = self.executable(sender, nonce)
            queued = sorted(set(self.by_sender[sender]) - {each.nonce for each in ready})
            for late in queued[self.limits.account_queue :]:
                self._drop(sender, late)
            over = len(list(self._all())) - len(queued) - self.limits.global_slots
            for each in ready[self.limits.account_slots :][::-1][: max(over, 0)]:
                self._drop(sender, each.nonce)

    def _drop(self, sender: str, nonce: int) -> None:
        self.dropped.append(self.by_sender[sender].pop(nonce).hash)

    def _all(self) -> list[Pooled]:
        return [each for slots in self.by_sender.values() for each in slots.values()]


def read(raw: str) -> Pooled:
    """Return what signed bytes say; only EIP-1559, which is all that lanes send."""
    octets = bytes.fromhex(raw[2:])
    fields = rlp.decode(octets[1:])
    nonce, tip, cap, gas = (int.from_bytes(each, "big") for each in fields[1:5])
    sender = Account.recover_transaction(octets).lower()
    value = int.from_bytes(fields[6], "big")
    return Pooled("0x" + keccak(octets).hex(), raw, sender, nonce, tip, cap, gas, value)


Asking = Callable[[Call], Awaitable[Reply]]


def gapless(ask: Asking, words: str, code: int = -32000) -> Rule:
    """A node without a queue, as a rule: refuses what is not the sender's next, in `words`.

    `{tx}` and `{state}` in them are the nonces, as Arbitrum's sequencer and Nethermind tell them.
    """

    async def rule(call: Call, onward: Onward) -> Reply:
        if call.method != "eth_sendRawTransaction":
            return await onward(call)
        fresh = read(call.params[0])
        count = await ask(Call("eth_getTransactionCount", [fresh.sender, "pending"]))
        state = int(count["result"], 16)
        if fresh.nonce <= state:
            return await onward(call)
        message = words.format(tx=fresh.nonce, state=state)
        return {"error": {"code": code, "message": message}}

    return rule


class GethRules:
    """The pool as a rule of a proxy: put `rules = [GethRules(proxy.forward)]` on it.

    The node's own pool is a shadow that gets what is executable and can pay the next base fee;
    whatever anvil forgets is given to it again after each block (`refresh`, or any call through
    the proxy that looks at the pool or mines).
    """

    _LOOKS = ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getTransactionCount")
    _MINES = ("evm_mine", "anvil_mine", "anvil_reorg", "anvil_rollback")

    def __init__(self, ask: Asking, limits: PoolLimits | None = None) -> None:
        self.pool = GethPool(limits or PoolLimits())
        self._ask = ask

    async def __call__(self, call: Call, onward: Onward) -> Reply:
        if call.method == "eth_sendRawTransaction":
            return await self._send(call.params[0])
        if call.method == "anvil_dropTransaction":
            self.pool.drop(call.params[0])
        if call.method in self._MINES or call.method in self._LOOKS:
            await self.refresh()
        reply = await onward(call)
        if call.method in self._MINES:
            await self.refresh()
        if call.method == "eth_getTransactionByHash" and reply.get("result") is None:
            return self._pending(call.params[0], reply)
        if call.method == "eth_getTransactionCount" and call.params[1:] == ["pending"]:
            sender = call.params[0].lower()
            state = await self._account(sender)
            return {"result": hex(state.nonce + len(self.pool.executable(sender, state.nonce)))}
        return reply

    async def reach(self, call: Call) -> Reply:
        """Answer a call by the pool and the node behind it, past all other rules."""
        return await self(call, self._ask)

    async def refresh(self) -> None:
        """Follow the chain, and give the node what it could include and does not have."""
        base_fee = await self._base_fee()
        for sender in list(self.pool.by_sender):
            state = await self._account(sender)
            self.pool.settle(sender, state)
            for each in self.pool.executable(sender, state.nonce):
                if each.cap < base_fee:
                    break  # kept, as geth keeps it; and what comes after it must wait
                if await self._result("eth_getTransactionByHash", each.hash) is None:
                    await self._ask(Call("eth_sendRawTransaction", [each.raw]))

    async def _send(self, raw: str) -> Reply:
        fresh = read(raw)
        await self.refresh()
        try:
            self.pool.add(fresh, await self._account(fresh.sender))
        except PoolRefused as refused:
            return {"error": {"code": -32000, "message": str(refused)}}
        await self.refresh()
        return {"result": fresh.hash}

    def _pending(self, transaction: str, reply: Reply) -> Reply:
        found = self.pool.find(transaction)
        if found is None:
            return reply
        shown: dict[str, Any] = {"hash": found.hash, "nonce": hex(found.nonce), "blockHash": None}
        return {"result": shown | {"blockNumber": None, "from": found.sender}}

    async def _account(self, sender: str) -> Holder:
        nonce = await self._result("eth_getTransactionCount", sender, "latest")
        balance = await self._result("eth_getBalance", sender, "latest")
        code = await self._result("eth_getCode", sender, "latest")
        return Holder(int(nonce, 16), int(balance, 16), code.startswith("0xef0100"))

    async def _base_fee(self) -> int:
        block = await self._result("eth_getBlockByNumber", "pending", False)
        return int(block["baseFeePerGas"], 16)

    async def _result(self, method: str, *params: Any) -> Any:
        return (await self._ask(Call(method, list(params)))).get("result")
