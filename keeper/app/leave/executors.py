"""The executor contracts of a configuration as the chain has them: code, owner, lanes, leave.

Reads only. It must not know what a lane signs, nor what a bid is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from keeper.config import Config
from keeper.domain.units import Address, Hash
from keeper.liquidation.executor import IS_LANE, IS_PERMITTED, OWNER, PAUSED, PERMISSION_OF
from keeper.ports import CallFailed, ChainReader
from keeper.protocols.derive.actions.calls import ADVANCED_BID, BID


WORD: Final = 64  # hex digits


@dataclass(frozen=True, slots=True)
class Standing:
    """One venue's executor at a block: whose it is, and what it would refuse us.

    `lanes_refused` are lanes of ours that may not execute, `calls` the venue's functions that
    they may have it call; `problem` is empty where the contract answers as an executor does.
    """

    venue: str
    address: Address
    code_hash: Hash
    owner: Address
    paused: bool
    lanes_refused: tuple[Address, ...]
    calls: tuple[str, ...]
    problem: str = ""

    def complaint(self, lanes: Sequence[Address]) -> str:
        """Return what is wrong with it and the cure, empty where nothing is."""
        if self.problem:
            return self.problem
        if self.paused:
            return "it is paused; let its owner call resume()"
        if self.owner in lanes:
            return f"the lane {self.owner} owns it; hand it over to a key that is kept cold"
        if self.lanes_refused:
            refused = ", ".join(self.lanes_refused)
            return f"may not be used by {refused}; let its owner call setLane(lane, true)"
        if not self.calls:
            return "may call no bid of the venue; let its owner call setPermission"
        return ""


async def standings(
    config: Config, reader: ChainReader, block: Hash, lanes: Sequence[Address]
) -> list[Standing]:
    """Return every configured executor at a block, in the order of venues; EndpointError."""
    found = []
    for venue in config.venues.values():
        if venue.executor is None:
            continue
        bids = {"bid": (venue.auction, BID)}
        if venue.auction_utils is not None:
            bids["advancedBid"] = (venue.auction_utils, ADVANCED_BID)
        found.append(await _standing(venue.name, venue.executor, bids, reader, block, lanes))
    return found


async def _standing(
    venue: str,
    address: Address,
    bids: dict[str, tuple[Address, str]],
    reader: ChainReader,
    block: Hash,
    lanes: Sequence[Address],
) -> Standing:
    code = await reader.code(address, block)
    code_hash = "0x" + keccak(bytes.fromhex(code[2:])).hex()
    asks = [OWNER, PAUSED, *(IS_LANE + _word(lane) for lane in lanes)]
    asks += [f"{PERMISSION_OF}{_word(to)}{selector:0<{WORD}}" for to, selector in bids.values()]
    answers = await reader.call_many([(address, "0x" + ask) for ask in asks], block)
    words = [_answer(each) for each in answers]
    known = [each for each in words if each is not None]
    if len(known) < len(words):
        problem = "does not answer as an executor; correct the address"
        return Standing(venue, address, code_hash, "", False, (), (), problem)
    keys = known[2 + len(lanes) :]
    leave = await reader.call_many(
        [(address, f"0x{IS_PERMITTED}{key:064x}") for key in keys], block
    )
    return Standing(
        venue=venue,
        address=address,
        code_hash=code_hash,
        owner=f"0x{known[0]:040x}",
        paused=bool(known[1]),
        lanes_refused=tuple(
            lane for lane, allowed in zip(lanes, known[2:], strict=False) if not allowed
        ),
        calls=tuple(name for name, each in zip(bids, leave, strict=True) if _answer(each)),
    )


def _answer(answer: str | CallFailed) -> int | None:
    if isinstance(answer, CallFailed) or len(answer) != 2 + WORD:
        return None
    return int(answer, 16)


def _word(address: Address) -> str:
    return f"{int(address, 16):064x}"
