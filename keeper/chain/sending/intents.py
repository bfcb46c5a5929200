"""What a slot is for, as the ledger keeps it: from a command, from a gap, or nothing at all.

Pure; it must not know lanes' states, fees or nodes.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from keeper.chain.ledger.rows import ACT, FILL, Intent
from keeper.chain.sending.fees import Offer
from keeper.domain.effects import Command
from keeper.domain.units import Address, Hash


TRANSFER_GAS: Final = 21_000
_NO_HASH: Final[Hash] = "0x" + "00" * 32


class Passed(NamedTuple):
    """A command that may be bound: what a rollup may charge for its data, and whether it hurries.

    `hurried` where it is sent before its trial has ended.
    """

    command: Command
    l1_fee_max_wei: int = 0
    hurried: bool = False


def intent_of(passed: Passed) -> Intent:
    """Return what a command asks for."""
    command = passed.command
    return Intent(
        kind=ACT,
        venue=command.venue,
        account=command.subject,
        rank=command.rank,
        value_wei=command.call.value_wei,
        max_cost_wei=command.spend_max_wei,
        deadline_block=command.deadline_block,
        decided_hash=command.decided_hash,
        command_id=command.id,
        command_kind=command.kind,
        to=command.call.to,
        data=command.call.data,
        gas=command.gas,
        decided_number=command.decided_number,
        priority=command.priority,
        hurried=passed.hurried,
    )


def offer_of(passed: Passed, blocks_left: int) -> Offer:
    """Return what a command allows its first bytes to cost."""
    command = passed.command
    return Offer(
        gas=command.gas,
        value_wei=command.call.value_wei + passed.l1_fee_max_wei,
        spend_wei_max=command.spend_max_wei,
        tip_budget_wei=command.tip_budget_wei,
        blocks_left=blocks_left,
        rank=command.rank,
    )


def filling(lane: Address, max_cost_wei: int) -> Intent:
    """Return a transfer of nothing to the lane itself, for a nonce that nothing holds."""
    return Intent(
        kind=FILL,
        venue="",
        account=lane,
        rank=0,
        value_wei=0,
        max_cost_wei=max_cost_wei,
        deadline_block=2**62,
        decided_hash=_NO_HASH,
        command_id=None,
        command_kind=None,
        to=lane,
        data="0x",
        gas=TRANSFER_GAS,
        decided_number=0,
    )


def emptied(intent: Intent, lane: Address) -> Intent:
    """Return the intent with its call replaced by a transfer of nothing: a cancel's bytes."""
    return replace(intent, to=lane, data="0x", value_wei=0, gas=TRANSFER_GAS)
