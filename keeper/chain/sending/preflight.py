"""Each command tried on the decided block before it may cost anything.

`eth_call` of the exact calldata from its sender with its gas at the decided block hash: exact where
a view is not. Whatever is not a clean success is a refusal, and no answer is one too: an unknown
outcome loses an opportunity, a wrong one loses money. It must not sign, send or choose a lane.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from keeper.chain.link import wire
from keeper.chain.link.transport import Request, Rpc
from keeper.chain.sending.base_fee import NOTHING_AHEAD, OP_STACK, Ahead, ahead
from keeper.chain.sending.fees import FeeParameters
from keeper.domain.effects import Command
from keeper.domain.errors import EndpointError, RpcError
from keeper.domain.units import Address, Hash


# The classified name of revert data, by the venue that knows it.
Reason = Callable[[str, str], str]

_BLOCK_UNKNOWN: Final = ("resource not found", "header not found", "unknown block", "not canonical")
# The OP stack's predeployed oracle, and the selector of its bound.
_GAS_PRICE_ORACLE: Final = "0x420000000000000000000000000000000000000f"
_L1_FEE_UPPER_BOUND: Final = "0xf1c7a58b"
# RLP of type, chain id, nonce, fees, gas, target, value and an empty access list, with headers.
_ENVELOPE_BYTES_MAX: Final = 150
_HALTED: Final = ("out of gas", "invalid opcode", "invalidfeopcode", "evm error", "stack ")


@dataclass(frozen=True, slots=True)
class PreflightParameters:
    """How long an answer may take, commands in one request, and requests out at once.

    mode "required": nothing is sent before its trial succeeded; "parallel": a command that asks
    for it (`hurried`) is sent while it is tried, for as long as what such commands lost in the
    hour is within `[breakers] hurried_loss_hour_wei_max`.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    mode: Literal["required", "parallel"] = "required"
    deadline_ms_max: int = 1_000
    batch_commands_max: int = 16
    requests_max: int = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the trial said: `reason` is None where it passed; `ahead` follows the decided block.

    `l1_fee_max_wei` is what a rollup may charge for the call's data, with room to grow.
    """

    reason: str | None
    detail: str = ""
    ahead: Ahead = NOTHING_AHEAD
    l1_fee_max_wei: int = 0


class Preflight:
    """Trials against one endpoint."""

    def __init__(
        self,
        rpc: Rpc,
        reason: Reason,
        parameters: PreflightParameters,
        fees: FeeParameters | None = None,
    ) -> None:
        self._rpc = rpc
        self._reason = reason
        self._parameters = parameters
        self._fees = fees if fees is not None else FeeParameters()
        self._permits = asyncio.Semaphore(parameters.requests_max)

    def portions(self, commands: Sequence[Command]) -> list[list[Command]]:
        """Cut a batch into requests: the best command alone, so that it waits for no other."""
        size = self._parameters.batch_commands_max
        rest = [list(commands[i : i + size]) for i in range(1, len(commands), size)]
        return [list(commands[:1]), *rest] if commands else []

    async def check(self, commands: Sequence[Command], senders: Sequence[Address]) -> list[Verdict]:
        """Try commands from their senders in one request; one verdict each, in order."""
        hashes = list(dict.fromkeys(command.decided_hash for command in commands))
        calls: list[Request] = [("eth_getBlockByHash", [block, False]) for block in hashes]
        calls += [
            eth_call(command, sender) for command, sender in zip(commands, senders, strict=True)
        ]
        charged = self._fees.base_fee_rule == OP_STACK
        if charged:
            calls += [data_fee_call(command) for command in commands]
        try:
            async with self._permits:
                answers = await self._rpc.batch(
                    calls, deadline_s=self._parameters.deadline_ms_max / 1000
                )
            found = {
                block: self._ahead(answer) for block, answer in zip(hashes, answers, strict=False)
            }
            last = len(hashes) + len(commands)
            fees = answers[last:] if charged else ["0x0"] * len(commands)
            return [
                self._verdict(command, answer, found[command.decided_hash], fee)
                for command, answer, fee in zip(
                    commands, answers[len(hashes) : last], fees, strict=True
                )
            ]
        except EndpointError as error:
            return [Verdict("no_answer", _printable(str(error)))] * len(commands)

    def _verdict(self, command: Command, answer: Any, found: Ahead | None, fee: Any) -> Verdict:
        if isinstance(answer, RpcError):
            reason = classified(answer, command.venue, self._reason)
            return Verdict(reason, _printable(answer.message))
        if found is None:
            return Verdict("unknown_block", "the node does not have the decided block")
        if isinstance(fee, RpcError):
            return Verdict("no_data_fee", _printable(fee.message))
        charged = wire.quantity(self._rpc.name, fee, "data fee")
        return Verdict(None, "", found, charged * self._fees.data_fee_headroom_ppm // 1_000_000)

    def _ahead(self, answer: Any) -> Ahead | None:
        if answer is None or isinstance(answer, RpcError):
            return None
        return ahead(self._rpc.name, answer, self._fees.base_fee_rule)


def eth_call(command: Command, sender: Address) -> Request:
    """Return the request that tries a command at the block it was decided on."""
    return call_at(
        sender, command.call.to, command.call.data, command.call.value_wei, command.gas,
        command.decided_hash,
    )  # fmt: skip


def call_at(
    sender: Address, to: Address, data: str, value_wei: int, gas: int, block: Hash
) -> Request:
    """Return an `eth_call` pinned to a block hash that must be on the node's chain."""
    body = {"from": sender, "to": to, "data": data, "value": hex(value_wei), "gas": hex(gas)}
    return "eth_call", [body, {"blockHash": block, "requireCanonical": True}]


def data_fee_call(command: Command) -> Request:
    """Return the request for what an OP stack chain charges at most for a command's data.

    `getL1FeeUpperBound(uint256)` of its gas price oracle (Fjord), for the unsigned transaction's
    length: the calldata and at most so many bytes around it.
    """
    size = (len(command.call.data) - 2) // 2 + _ENVELOPE_BYTES_MAX
    body = {"to": _GAS_PRICE_ORACLE, "data": f"{_L1_FEE_UPPER_BOUND}{size:064x}"}
    return "eth_call", [body, {"blockHash": command.decided_hash, "requireCanonical": True}]


def classified(error: RpcError, venue: str, reason: Reason) -> str:
    """Return why a call did not succeed: the venue's word for a revert, or the node's trouble."""
    if error.data is not None:
        return reason(venue, error.data)
    text = error.message.lower()
    if "revert" in text:
        return reason(venue, "0x")
    if any(words in text for words in _BLOCK_UNKNOWN):
        return "unknown_block"
    if any(words in text for words in _HALTED):
        return "halted"
    return "insufficient_funds" if "insufficient funds" in text else "no_answer"


def _printable(text: str) -> str:
    """Return a stranger's text without what could break a line or a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:256]
