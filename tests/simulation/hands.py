"""The executor as the machine may rely on it, scripted: trials, bytes, outcomes, reorgs.

It keeps the contract of the real one (each command ends once, an orphan comes back, one live
action an account at a time) and is as slow and unlucky as the seed says. It must not decide.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.domain.effects import Command
from keeper.domain.events import (
    CommandCommitted,
    CommandRefused,
    CommandSent,
    Event,
    PreflightPassed,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.units import AccountId
from keeper.protocols.derive.actions.calls import reason
from tests.simulation import places as on
from tests.simulation.sim_chain import GWEI, Bytes, SimChain, digest
from tests.simulation.venue_auctions import ERRORS


CANCEL_BLOCKS = 2


@dataclass
class Slot:
    """One nonce with the command it was bound to; `where` is the block it is in."""

    command: Command
    act: Bytes
    last: Bytes
    where: str | None = None
    lost: bool = False


class Hands:
    """Carries commands out on a simulated chain."""

    def __init__(self, chain: SimChain, chance: random.Random) -> None:
        self.honest = False  # once faults stop: nothing is late, refused or lost
        self.slots: dict[int, Slot] = {}
        self._chain = chain
        self._chance = chance
        self._waiting: list[tuple[int, Command]] = []  # (head number at which it is tried)
        self._nonces: dict[str, int] = {}

    @property
    def live(self) -> dict[AccountId, int]:
        """Return command id by account of all that was taken and not ended, lost bytes too."""
        waiting = {command.account: command.id for _, command in self._waiting}
        bound = {
            slot.command.account: slot.command.id
            for slot in self.slots.values()
            if slot.where is None
        }
        return {**bound, **waiting}

    def take(self, commands: Sequence[Command]) -> None:
        """Take commands; some are tried only a few heads later."""
        for command in commands:
            late = 0 if self.honest else self._chance.choice((0, 0, 0, 1, 3))
            self._waiting.append((self._chain.head.number + late, command))

    def work(self) -> Iterator[Event]:
        """Yield what came of commands and bytes up to the present head."""
        number = self._chain.head.number
        due = [each for each in self._waiting if each[0] <= number or self.honest]
        self._waiting = [each for each in self._waiting if each not in due]
        yield from self._follow()
        for _, command in due:
            yield from self._serve(command)

    def _serve(self, command: Command) -> Iterator[Event]:
        if self._chain.head.number >= command.deadline_block:
            yield CommandRefused(command.id, "expired", "deadline", "")
            return
        problem = self._trial(command)
        if problem is not None:
            yield CommandRefused(command.id, "preflight", problem, "")
            return
        yield PreflightPassed(command.id)
        if not self.honest and self._chance.random() < 0.05:
            yield CommandRefused(command.id, "lane", "no_lane", "")
            return
        sender = command.sender or on.LANE_OWNER
        nonce = self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        call = (command.call.to, command.call.data, command.gas)
        raw = _bytes(sender, nonce, call, bump=0)
        self.slots[command.id] = Slot(command, raw, raw)
        yield CommandCommitted(command.id, raw.sender, raw.nonce, raw.hash)
        refused = self._chain.offer(raw)
        yield CommandSent(command.id, raw.hash, 1, int(refused is None))

    def _trial(self, command: Command) -> str | None:
        block = self._chain.known[command.decided_hash]
        if not self._chain.is_canonical(block):
            return "unknown_block"
        if not self.honest and self._chance.random() < 0.04:
            return "no_answer"
        sender = command.sender or on.LANE_OWNER
        problem = self._chain.try_call(block, sender, command.call.to, command.call.data)
        return None if problem is None else reason(ERRORS.get(problem, "0x"))

    def _follow(self) -> Iterator[Event]:
        """Yield every outcome that the branch now shows, orphans first."""
        for command_id, slot in sorted(self.slots.items()):
            if slot.where is None or self._chain.is_canonical(self._chain.known[slot.where]):
                continue
            # As the ledger does: of an account the first orphan lives, the rest are lost.
            slot.lost = slot.command.account in self.live
            slot.where = None
            yield TransactionOrphaned(command_id, slot.last.hash)
        for command_id, slot in sorted(self.slots.items()):
            if slot.where is None:
                yield from self._look(command_id, slot)

    def _look(self, command_id: int, slot: Slot) -> Iterator[Event]:
        for raw in dict.fromkeys((slot.last, slot.act)):
            found = self._chain.find(raw.hash)
            if found is None:
                continue
            block, placed, _ = found
            slot.where, slot.last = block.hash, raw
            if raw is not slot.act:
                yield TransactionDropped(command_id, slot.act.hash, "cancelled")
                return
            where = (command_id, raw.hash, block.number, block.hash)
            paid = (placed.gas_used, placed.price)
            if placed.problem is None:
                yield TransactionIncluded(*where, *paid)
            else:
                word = reason(ERRORS.get(placed.problem, "0x"))
                yield TransactionReverted(*where, *paid, word)
            return
        late = self._chain.head.number > slot.command.deadline_block + CANCEL_BLOCKS
        if (late or slot.lost) and slot.last is slot.act:
            call = (slot.act.sender, "0x", 21_000)
            slot.last = _bytes(slot.act.sender, slot.act.nonce, call, bump=1)
        self._chain.offer(slot.last)


def _bytes(sender: str, nonce: int, call: tuple[str, str, int], *, bump: int) -> Bytes:
    to, data, gas = call
    tip, cap = GWEI << bump, 50 * GWEI << bump
    return Bytes(digest(sender, nonce, call, bump), sender, nonce, tip, cap, gas, to, data)
