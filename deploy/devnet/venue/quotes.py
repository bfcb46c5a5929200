"""Feed data as the venue's feeds take them: packed, one batch a moment.

It knows the layout of each feed's data; it must not know where prices come from. Without a signer
the sender must be a permitted publisher; with one, anybody may send them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_abi.abi import encode

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.signing import FeedSigner, feed_data


FULL = wad("1")
DEADLINE_S = 3_600


@dataclass
class Quotes:
    """Quotes of one moment, `timestamp` in unix seconds; numbers are 18-decimal integers."""

    timestamp: int
    batch: list[tuple[str, bytes]] = field(default_factory=list)
    signer: FeedSigner | None = None
    deadline_s: int = DEADLINE_S

    def spot(self, feed: Contract, price: int, confidence: int = FULL) -> None:
        """Add a spot, stable or collateral price."""
        self._add(feed, encode(["uint96", "uint64"], [price, confidence]))

    def diff(self, feed: Contract, difference: int, confidence: int = FULL) -> None:
        """Add a price as its difference to spot: perpetual mark, impact ask, impact bid."""
        self._add(feed, encode(["int96", "uint64"], [difference, confidence]))

    def rate(self, feed: Contract, expiry: int, rate: int, confidence: int = FULL) -> None:
        """Add the interest rate to an expiry."""
        self._add(feed, encode(["uint64", "int96", "uint64"], [expiry, rate, confidence]))

    def vol(
        self,
        feed: Contract,
        expiry: int,
        svi: tuple[int, int, int, int, int],
        forward: int,
        tau: int,
        confidence: int = FULL,
    ) -> None:
        """Add a smile: svi = (a, b, rho, m, sigma), and the forward and time it was fitted at."""
        types = ["uint64", "int256", "uint256", "int256", "int256", "uint256"]
        types += ["uint256", "uint64", "uint64"]
        self._add(feed, encode(types, [expiry, *svi, forward, tau, confidence]))

    def forward(
        self,
        feed: Contract,
        expiry: int,
        difference: int,
        confidence: int = FULL,
        aggregates: tuple[int, int] = (0, 0),
    ) -> None:
        """Add forward less spot; in the last half hour also the settlement price's aggregates."""
        types = ["uint64", "uint256", "uint256", "int96", "uint64"]
        self._add(feed, encode(types, [expiry, *aggregates, difference, confidence]))

    def packed(self) -> bytes:
        """Pack for the submitter's `submitData`, or of a transfer as managerData."""
        return encode(["(address,bytes)[]"], [self.batch])

    def queue(self, sender: Sender, submitter: Contract, gas: int = 30_000_000) -> None:
        """Queue the whole batch as one transaction of `sender`; flush is the caller's."""
        sender.send(submitter, "submitData", self.packed(), gas=gas)

    def _add(self, feed: Contract, data: bytes) -> None:
        deadline = self.timestamp + self.deadline_s
        if self.signer is None:
            packed = feed_data(data, deadline, self.timestamp, [], [])
        else:
            packed = self.signer.signed(feed, data, self.timestamp, deadline)
        self.batch.append((feed.address, packed))
