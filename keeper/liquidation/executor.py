"""What the executor contract is asked to do, as values, and the calldata that asks it.

Calls, the conditions they need and the guard around them are facts about views and numbers: no
venue is known here, and none will need a second executor. Layout: the contract ABI's head and tail
(docs.soliditylang.org, "Contract ABI Specification"); every struct here is a dynamic one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Address


EXECUTE: Final = "794b5674"
OWNER: Final = "8da5cb5b"  # () -> address
PAUSED: Final = "5c975abb"  # () -> bool
IS_LANE: Final = "c09cf64a"  # (lane) -> bool
PERMISSION_OF: Final = "1f736596"  # (target, selector) -> key
IS_PERMITTED: Final = "beabdb7b"  # (key) -> bool
SET_LANE: Final = "cf624966"  # (lane, allowed), by the owner
INT_MIN: Final = -(2**255)
INT_MAX: Final = 2**255 - 1
# What our own part of a transaction costs besides the calls: measured on the contract, with room.
BATCH_GAS: Final = 60_000
CONDITION_GAS: Final = 10_000  # besides what the view itself costs

REASONS: Final[dict[str, str]] = {
    "db8fee88": "EX_NotOwner",
    "23a03526": "EX_NotLane",
    "597afc27": "EX_Paused",
    "e7bd23cd": "EX_Running",
    "ca62eef9": "EX_BlockPassed",
    "bfccd854": "EX_TimestampPassed",
    "2ea5c2d2": "EX_ConditionFailed",
    "ed05e43b": "EX_ViewFailed",
    "6be49bdc": "EX_NotPermitted",
    "faba1176": "EX_NoCode",
    "74ccbc73": "EX_OutOfGas",
    "f11214d5": "EX_TooFewServed",
    "603d56d2": "EX_GainTooSmall",
    "325534cd": "EX_UnexpectedCallback",
    "b34916b1": "EX_PayoutFailed",
}
# What some of them mean for us; see the venues' own.
MEANINGS: Final[dict[str, str]] = {
    "EX_BlockPassed": "expired",
    "EX_TimestampPassed": "expired",
    "EX_GainTooSmall": "unprofitable",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One word of what a view returns lies in a closed range, or is a timestamp of such an age.

    `least` and `most` are compared as signed words, in the view's own unit; with `is_age` they are
    seconds before the block's timestamp.
    """

    target: Address
    data: str
    word: int = 0
    least: int = INT_MIN
    most: int = INT_MAX
    is_age: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a batch. An optional one that fails or may not begin does not sink the others."""

    call: Call
    conditions: tuple[Condition, ...] = ()
    optional: bool = False
    gas: int = 0  # the most it may use; 0 for all there is


@dataclass(frozen=True, slots=True)
class Gain:
    """One word of a view must be larger by `least` after the batch than before it."""

    target: Address
    data: str
    least: int
    word: int = 0


@dataclass(frozen=True, slots=True)
class Callback:
    """Who may call the executor back during the batch, what it then does and what it answers."""

    caller: Address
    selector: str  # 8 hex digits
    steps: tuple[Step, ...]
    reply: str = "0x"


@dataclass(frozen=True, slots=True)
class Guard:
    """What must be so on chain, whatever was decided. Both deadlines are the last that will do."""

    block_max: int
    timestamp_max_s: int
    served_min: int = 1
    conditions: tuple[Condition, ...] = ()
    gains: tuple[Gain, ...] = ()
    callbacks: tuple[Callback, ...] = ()


def execute(executor: Address, steps: Sequence[Step], guard: Guard) -> Call:
    """Return the call of a batch under its guard; raises InvariantViolation for an empty one."""
    if not steps:
        raise InvariantViolation("a batch of no calls")
    body = join(([_step(step) for step in steps], _guard(guard)))
    value_wei = sum(step.call.value_wei for step in steps)
    return Call(executor, "0x" + EXECUTE + body.hex(), value_wei)


def gas_limit(steps_gas: Sequence[int], guard: Guard, conditions: int) -> int:
    """Return the gas of a batch: its calls', and ours for a number of conditions at the calls."""
    looks = conditions + len(guard.conditions) + 2 * len(guard.gains)
    # A call gets 63 parts of 64 of what is left.
    return (sum(steps_gas) + BATCH_GAS + looks * CONDITION_GAS) * 64 // 63 + 1


def reason(data: str) -> str | None:
    """Return the name of an error of the executor's own, None where the data are another's."""
    return REASONS.get(data.removeprefix("0x")[:8].lower())


# ── the ABI ──

Part = int | bytes | tuple["Part", ...] | list["Part"]


def _step(step: Step) -> Part:
    call = step.call
    conditions: list[Part] = [_condition(each) for each in step.conditions]
    head = (_address(call.to), call.value_wei, step.gas, int(step.optional))
    return (*head, bytes.fromhex(call.data[2:]), conditions)


def _condition(each: Condition) -> Part:
    data = bytes.fromhex(each.data[2:])
    return (_address(each.target), data, each.word, int(each.is_age), each.least, each.most)


def _guard(guard: Guard) -> Part:
    conditions: list[Part] = [_condition(each) for each in guard.conditions]
    gains: list[Part] = [
        (_address(each.target), bytes.fromhex(each.data[2:]), each.word, each.least)
        for each in guard.gains
    ]
    callbacks: list[Part] = [_callback(each) for each in guard.callbacks]
    deadlines = (guard.block_max, guard.timestamp_max_s, guard.served_min)
    return (*deadlines, conditions, gains, callbacks)


def _callback(each: Callback) -> Part:
    steps: list[Part] = [_step(step) for step in each.steps]
    selector = int(each.selector, 16) << 224
    return (_address(each.caller), selector, steps, bytes.fromhex(each.reply[2:]))


def _address(address: Address) -> int:
    return int(address, 16)


def join(parts: Sequence[Part]) -> bytes:
    """Return abi.encode: a number stands in its head, all else in a tail, there by its offset."""
    heads: list[bytes] = []
    tails: list[bytes] = []
    offset = 32 * len(parts)
    for part in parts:
        if isinstance(part, int):
            heads.append(_word(part))
            continue
        heads.append(_word(offset))
        tails.append(_tail(part))
        offset += len(tails[-1])
    return b"".join((*heads, *tails))


def _tail(part: bytes | tuple[Part, ...] | list[Part]) -> bytes:
    if isinstance(part, bytes):
        return _word(len(part)) + part + bytes(-len(part) % 32)
    if isinstance(part, list):
        return _word(len(part)) + join(part)
    return join(part)


def _word(value: int) -> bytes:
    if not INT_MIN <= value < 2**256:
        raise InvariantViolation(f"{value} does not fit a word")
    return (value % 2**256).to_bytes(32, "big")
