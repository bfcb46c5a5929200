"""Before the first new command: the ledger's lanes against the chain as it is now.

Fence first (the epoch), then look: receipts of all bytes of all open slots, nonces that others
used, gaps healed lowest first, live bytes sent again. Only then does the executor take work. It
must not decide anything about commands but that those past their deadline are cancelled.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.chain.keys.signer import NoSigner, Signer, check_signing
from keeper.chain.ledger.rows import ACT, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.dispatch import Dispatch, Tip
from keeper.chain.sending.follower import Follower
from keeper.chain.sending.lanes import PAUSED, Lane, LaneParameters, Lanes, move
from keeper.chain.sending.receipts import ChainView
from keeper.domain.errors import (
    ChainMismatch,
    EndpointUnreachable,
    FinalityViolated,
    InvariantViolation,
)
from keeper.domain.units import Address


_LOOKS: Final = 3
_BETWEEN_LOOKS_S: Final = 0.1


async def check_chain(view: ChainView, chain_id: int, lanes: Sequence[Address]) -> None:
    """Refuse another chain and senders that are delegated (EIP-7702): one transaction at a time.

    Raises ChainMismatch, EndpointError.
    """
    actual, codes = await view.facts(lanes)
    if actual != chain_id:
        raise ChainMismatch("chain id", chain_id, actual, "point rpc at the configured chain")
    for lane, code in zip(lanes, codes, strict=True):
        if code != "0x":
            raise ChainMismatch(
                f"code of lane {lane}", "none", f"{len(code) // 2 - 1} bytes",
                "use a sender that is not delegated and no contract",
            )  # fmt: skip


async def recover(
    dispatch: Dispatch,
    ledger: Ledger,
    view: ChainView,
    follower: Follower,
    signers: Sequence[Signer],
    parameters: LaneParameters,
) -> None:
    """Make every lane as the chain has it; raises EndpointError, and can then be begun again.

    Raises FinalityViolated where the chain went back behind slots that were final.
    """
    check_signing()
    number, block = await view.latest()
    slots = await ledger.open_slots()
    known: dict[Address, Signer] = {each.address: each for each in signers}
    # Bytes of a lane that is configured no more may still land: they are followed to their end.
    orphans = [slot.lane for slot in slots if slot.lane not in known and slot.state != "FOREIGN"]
    known.update((lane, NoSigner(lane)) for lane in dict.fromkeys(orphans))
    seen = await view.look(block, list(known), [])
    if seen is None:
        raise EndpointUnreachable("rpc", "its head left while it was looked at")
    rows = await ledger.take_over([(each, seen.nonces[each]) for each in known])
    lanes = {
        row.address: Lane(
            signer=known[row.address],
            epoch=row.epoch,
            state=PAUSED if isinstance(known[row.address], NoSigner) else row.state,
            next_nonce=row.next_nonce,
            in_flight_max=parameters.in_flight_max_of(row.address),
            balance_wei=seen.balances[row.address],
        )
        for row in rows
    }
    for slot in slots:
        if slot.lane in lanes:
            lanes[slot.lane].put(slot)
    dispatch.lanes = Lanes(list(lanes.values()))
    dispatch.rewind(Tip(number, seen.ahead))
    for lane in dispatch.lanes:
        if isinstance(lane.signer, NoSigner):
            continue
        await _heal_gaps(dispatch, follower, ledger, lane, seen.nonces[lane.address], number)
    if not await follower.follow(block):
        raise EndpointUnreachable("rpc", "its head left while it was followed")
    for lane in dispatch.lanes:
        await _find_strangers(follower, view, lane, seen.nonces[lane.address])
        await _send_again(dispatch, lane, seen.nonces[lane.address])


async def acknowledge(ledger: Ledger, lane: Address, chain_nonce: int) -> None:
    """Let a quarantined lane work again, from the chain's nonce on: the operator has looked.

    Raises InvariantViolation where the lane is not in quarantine.
    """
    rows = [row for row in await ledger.take_over([(lane, chain_nonce)]) if row.address == lane]
    row = rows[0]
    await ledger.set_lane(
        replace(
            row, state=move(row.state, "acknowledge"), next_nonce=max(row.next_nonce, chain_nonce)
        )
    )


async def _heal_gaps(
    dispatch: Dispatch,
    follower: Follower,
    ledger: Ledger,
    lane: Lane,
    chain_nonce: int,
    number: int,
) -> None:
    """Fill nonces between the chain's and our next that nothing holds, lowest first."""
    states = await ledger.states_from(lane.address, chain_nonce)
    for nonce in range(chain_nonce, lane.next_nonce):
        state = states.get(nonce)
        if state == "FINAL":
            raise FinalityViolated(number, f"nonce {nonce} of {lane.address} used", "unused")
        if state == "FOREIGN":
            # The stranger's block is gone: the nonce is ours to use again.
            await follower.regain(lane, lane.slots[nonce])
        elif state is None:
            filled = await dispatch.fill(lane, nonce)
            if isinstance(filled, str):
                raise InvariantViolation(f"gap at nonce {nonce} of {lane.address}: {filled}")


async def _find_strangers(
    follower: Follower, view: ChainView, lane: Lane, chain_nonce: int
) -> None:
    """Quarantine a lane whose nonce was used by bytes of which no endpoint has our receipt."""
    for slot in lane.live():
        if slot.nonce >= chain_nonce:
            return
        hashes = [each.hash for each in slot.attempts]
        for _ in range(_LOOKS):
            if await view.witnessed(hashes):
                break
            await asyncio.sleep(_BETWEEN_LOOKS_S)
        else:
            await follower.lose(lane, slot)


async def _send_again(dispatch: Dispatch, lane: Lane, chain_nonce: int) -> None:
    """Give the newest bytes of every live slot to all routes, in nonce order.

    A command past its deadline, or whose account has another action by now, is cancelled instead,
    or left alone where a cancel would cost more than its revert and nothing waits behind it.
    """
    for waiting in lane.live():
        if waiting.nonce < chain_nonce:
            continue
        slot: Slot = waiting
        over = dispatch.tip.number >= slot.intent.deadline_block
        if over and isinstance(lane.signer, NoSigner):
            continue
        if slot.last.kind == ACT and (over or slot.given_up):
            if not dispatch.should_cancel(lane, slot):
                continue
            cancelled = await dispatch.cancel(lane, slot)
            slot = slot if isinstance(cancelled, str) else cancelled
        if not slot.given_up:
            await dispatch.send(slot.last)
