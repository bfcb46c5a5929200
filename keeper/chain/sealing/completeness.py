"""Whether the logs we were given are all the logs of a block. Pure.

An empty answer is the dangerous one: nodes give it for blocks they know but have not indexed yet
(erigon issue 16861), and a missed log is wrong state for ever. The header's bloom filter is the
witness: if it cannot hold any watched address, empty is true; else the receipts decide.
"""

from collections.abc import Collection, Iterable, Sequence
from operator import lt
from typing import Final

from eth_hash.auto import keccak

from keeper.chain.link.pattern import BlockRows
from keeper.domain.errors import MalformedReply
from keeper.domain.events import Log
from keeper.domain.logs import Logs
from keeper.domain.units import Address, Hash


def bloom_mask(item: bytes) -> int:
    """Return the three bits an address or topic sets in a 2048-bit bloom.

    Yellow Paper section 4.3.1 (M3:2048): the low 11 bits of each of the first three 16-bit words
    of the item's keccak-256, counted from the low end of the filter.
    """
    digest = keccak(item)
    mask = 0
    for start in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return mask


class Watchlist:
    """The watched addresses, and their masks worked out once."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self.addresses: tuple[Address, ...] = tuple(dict.fromkeys(a.lower() for a in addresses))
        self._masks = {a: bloom_mask(bytes.fromhex(a[2:])) for a in self.addresses}

    def __contains__(self, address: Address) -> bool:
        return address in self._masks

    def unnamed(self, bloom: int, found: Sequence[Log]) -> bool:
        """Whether a log is among those found whose address the bloom does not hold: a lie."""
        heard = _heard(found)
        return any(bloom & mask != mask for a, mask in self._masks.items() if a in heard)

    def unheard(self, bloom: int, found: Sequence[Log]) -> bool:
        """Whether the bloom names a watched address that has no log among those found.

        A full bloom names everybody: where more than 4 bits of 10 are set (then one address in 16
        is named for nothing) only a wholly empty answer is doubted.
        """
        heard = _heard(found)
        if heard and bloom.bit_count() > _BLOOM_BITS_TELLING:
            return False
        return any(bloom & mask == mask and a not in heard for a, mask in self._masks.items())


def _heard(found: Sequence[Log]) -> Collection[Address]:
    """Return the addresses that have a log among those found."""
    return found.heard() if isinstance(found, Logs) else {log.address for log in found}


_BLOOM_BITS_TELLING: Final = 2048 * 4 // 10


def bloom_of(logs: Iterable[Log]) -> int:
    """Return the bloom of a block with exactly these logs: each address and each topic."""
    items = {item for log in logs for item in (log.address, *log.topics)}
    bloom = 0
    for item in sorted(items):
        bloom |= bloom_mask(bytes.fromhex(item[2:]))
    return bloom


def complete_logs(
    endpoint: str,
    found: Sequence[tuple[int, Hash, Log]],
    number: int,
    block: Hash,
    watched: Watchlist,
) -> Sequence[Log]:
    """Return the watched logs of one block in log order, each index once.

    Raises MalformedReply where a log is of another block, or where two different logs claim one
    index: then neither can be trusted.
    """
    if isinstance(found, BlockRows) and (found.number, found.block) == (number, block):
        ours = found.logs.of(watched.addresses)
        if ours.ascend():
            return ours
    numbers, blocks, given = zip(*found, strict=True) if found else ((), (), ())
    if not {*numbers} <= {number} or not {*blocks} <= {block}:
        raise MalformedReply(endpoint, f"a log of another block than {block}")
    logs = [log for log in given if log.address in watched]
    indexes = [log.log_index for log in logs]
    if all(map(lt, indexes, indexes[1:])):
        return tuple(logs)  # as a node that is in order answers: nothing to sort or to compare
    by_index: dict[int, Log] = {}
    for log in logs:
        if by_index.setdefault(log.log_index, log) != log:
            raise MalformedReply(endpoint, f"two logs with index {log.log_index} in {block}")
    return tuple(by_index[index] for index in sorted(by_index))
