"""What the chain says of our nonces and bytes at one head: questions, and strict answers.

A receipt counts only where its block is on the branch of the head we follow; the nonce is only the
reason to look. It must not change a slot: it sees, the follower decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.chain.ledger.rows import Receipt, Slot
from keeper.chain.link import wire
from keeper.chain.link.transport import Request, Rpc
from keeper.chain.sending.base_fee import ETHEREUM, Ahead, Rule, ahead
from keeper.chain.sending.preflight import Reason, call_at, classified
from keeper.domain.errors import EndpointError, RpcError
from keeper.domain.units import Address, Hash
from keeper.ports import Header


@dataclass(frozen=True, slots=True)
class Sighting:
    """One head as the node knows it, with our lanes' nonces and balances after it."""

    header: Header
    ahead: Ahead
    nonces: dict[Address, int]
    balances: dict[Address, int]
    receipts: dict[Hash, Receipt]


class ChainView:
    """Reads of one endpoint, and of its witnesses where one word is not enough."""

    def __init__(
        self,
        rpc: Rpc,
        witnesses: Sequence[Rpc],
        reason: Reason,
        deadline_s: float,
        rule: Rule = ETHEREUM,
    ) -> None:
        self._rpc = rpc
        self._witnesses = tuple(witnesses)
        self._reason = reason
        self._deadline_s = deadline_s
        self._rule = rule

    async def latest(self) -> tuple[int, Hash]:
        """Return number and hash of the node's head; raises EndpointError."""
        raw = await self._rpc.call(
            "eth_getBlockByNumber", ["latest", False], deadline_s=self._deadline_s
        )
        header = wire.header(self._rpc.name, raw)
        return header.number, header.hash

    async def finalized(self) -> int:
        """Return the number of the last block the node calls final, -1 where it names none."""
        try:
            raw = await self._rpc.call(
                "eth_getBlockByNumber", ["finalized", False], deadline_s=self._deadline_s
            )
        except RpcError:
            return -1
        return -1 if raw is None else wire.header(self._rpc.name, raw).number

    async def tips_included(self, number: int, blocks: int) -> list[int] | None:
        """Return the lowest tip that got into each of the last blocks up to `number`, wei per gas.

        Empty blocks say nothing and are left out. None where the node does not tell. The question
        is by number, not by hash, so it is evidence for a bump and for nothing else.
        """
        try:
            raw = await self._rpc.call(
                "eth_feeHistory", [hex(blocks), hex(number), [0]], deadline_s=self._deadline_s
            )
            return wire.tips(self._rpc.name, raw)
        except EndpointError:
            return None

    async def look(
        self, block: Hash, lanes: Sequence[Address], attempts: Sequence[Hash]
    ) -> Sighting | None:
        """Return what is so at a block; None where the node does not have it (any more).

        Raises EndpointError for any other answer that is none.
        """
        at = {"blockHash": block}
        calls: list[Request] = [("eth_getBlockByHash", [block, False])]
        calls += [("eth_getTransactionCount", [lane, at]) for lane in lanes]
        calls += [("eth_getBalance", [lane, at]) for lane in lanes]
        calls += [("eth_getTransactionReceipt", [each]) for each in attempts]
        answers = await self._rpc.batch(calls, deadline_s=self._deadline_s)
        raw = _raised(answers[0])
        if raw is None:
            return None
        name, count = self._rpc.name, len(lanes)
        header = wire.header(name, raw)
        numbers = [wire.quantity(name, _raised(each), "nonce") for each in answers[1 : count + 1]]
        balances = answers[count + 1 : 2 * count + 1]
        return Sighting(
            header=header,
            ahead=ahead(name, raw, self._rule),
            nonces=dict(zip(lanes, numbers, strict=True)),
            balances={
                lane: wire.quantity(name, _raised(each), "balance")
                for lane, each in zip(lanes, balances, strict=True)
            },
            receipts=_receipts(name, answers[2 * count + 1 :]),
        )

    async def canonical(self, numbers: Iterable[int]) -> dict[int, Hash | None]:
        """Return the hash the chain now has at each number, None beyond its head."""
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        answers = await self._rpc.batch(
            [("eth_getBlockByNumber", [hex(number), False]) for number in wanted],
            deadline_s=self._deadline_s,
        )
        return {
            number: None if answer is None else wire.header(self._rpc.name, _raised(answer)).hash
            for number, answer in zip(wanted, answers, strict=True)
        }

    async def receipts(self, attempts: Sequence[Hash]) -> dict[Hash, Receipt]:
        """Return the receipts the node has for these bytes; raises EndpointError."""
        return await self._ask(self._rpc, attempts)

    async def witnessed(self, attempts: Sequence[Hash]) -> bool:
        """Tell whether any endpoint has a receipt, or fails to say: then nothing is proved."""
        for rpc in (self._rpc, *self._witnesses):
            try:
                if await self._ask(rpc, attempts):
                    return True
            except EndpointError:
                return True
        return False

    async def failure(self, slot: Slot, receipt: Receipt) -> str:
        """Return why a reverted transaction failed, by trying it again.

        On the block before; where it succeeds there, what came earlier in its own block did it, so
        it is tried on that block as it ended. "not_reproduced" where it succeeds on both.
        """
        intent = slot.claim(receipt.hash).intent
        try:
            raw = await self._rpc.call(
                "eth_getBlockByHash", [receipt.block_hash, False], deadline_s=self._deadline_s
            )
            parent = wire.header(self._rpc.name, raw).parent
            for block in (parent, receipt.block_hash):
                request = call_at(
                    slot.lane, intent.to, intent.data, intent.value_wei, intent.gas, block
                )
                await self._rpc.call(*request, deadline_s=self._deadline_s)
        except RpcError as error:
            return classified(error, intent.venue, self._reason)
        except EndpointError:
            return "no_answer"
        return "not_reproduced"

    async def facts(self, lanes: Sequence[Address]) -> tuple[int, list[str]]:
        """Return the chain id and the code at each lane's address; raises EndpointError."""
        calls: list[Request] = [("eth_chainId", [])]
        calls += [("eth_getCode", [lane, "latest"]) for lane in lanes]
        answers = await self._rpc.batch(calls, deadline_s=self._deadline_s)
        chain_id = wire.quantity(self._rpc.name, _raised(answers[0]), "chain id")
        codes = [wire.hex_data(self._rpc.name, _raised(each), "code") for each in answers[1:]]
        return chain_id, codes

    async def _ask(self, rpc: Rpc, attempts: Sequence[Hash]) -> dict[Hash, Receipt]:
        if not attempts:
            return {}
        answers = await rpc.batch(
            [("eth_getTransactionReceipt", [each]) for each in attempts],
            deadline_s=self._deadline_s,
        )
        return _receipts(rpc.name, answers)


def _raised(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def _receipts(name: str, answers: Sequence[Any]) -> dict[Hash, Receipt]:
    """Return receipts by hash; null is "not there", and so is a node that still indexes it."""
    found = {}
    for answer in answers:
        if answer is None or isinstance(answer, RpcError):
            continue
        seen = wire.receipt(name, answer)
        found[seen.transaction] = Receipt(
            hash=seen.transaction,
            block_hash=seen.block,
            block_number=seen.number,
            index=wire.quantity(name, answer.get("transactionIndex"), "transaction index"),
            succeeded=seen.succeeded,
            gas_used=seen.gas_used,
            price_wei=seen.price_wei,
            # Rollups charge for data besides gas; elsewhere there is no such field.
            l1_fee_wei=wire.quantity(name, answer.get("l1Fee") or "0x0", "data fee"),
        )
    return found
