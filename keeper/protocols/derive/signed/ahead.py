"""Signed feed data kept while they count, and what the feeds would say with them: `Ahead`.

A feed takes signed data from anybody, so an action may bring its own. Signatures are not checked
here: the chain does that in the trial of every action. Must not know accounts, nor how an action
carries what it brings.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.effects import Notice
from keeper.domain.events import PayloadReceived
from keeper.domain.units import Address
from keeper.liquidation.executor import join
from keeper.market.payloads import Payload, PayloadRule, Payloads, Unopened
from keeper.protocols.derive.margins.readings import Readings, Row
from keeper.protocols.derive.signed.payloads import LAYOUTS, octets, opened
from keeper.protocols.derive.tables import DeriveTables, ForwardRow
from keeper.protocols.derive.words import Unfit


Key = tuple[Address, int]  # a feed and an expiry, 0 where it has none

# An update of one feed takes 22,000 (measured: 20 feeds with one signer 0.44 million); the first
# smile of an expiry writes eight fresh slots.
PAYLOAD_GAS: Final = 220_000


@dataclass(frozen=True, slots=True)
class Ahead:
    """What feeds would say after payloads of ours: rows and payloads by (feed, expiry)."""

    rows: Mapping[Key, Row] = field(default_factory=dict)
    payloads: Mapping[Key, Payload] = field(default_factory=dict)

    def touches(self, feeds: Collection[Address]) -> bool:
        """Tell whether any of these feeds would say something else."""
        return any(feed in feeds for feed, _ in self.rows)

    def bundle(self, wanted: Iterable[Key]) -> "Bundle":
        """Return the payloads behind what is wanted, each once, spots first as they come."""
        held = {key: self.payloads[key] for key in wanted if key in self.payloads}
        items = tuple((feed, payload.data) for (feed, _), payload in held.items())
        return Bundle(items, min((each.published_s for each in held.values()), default=0))


@dataclass(frozen=True, slots=True)
class Bundle:
    """Payloads that go along with one action: (feed, what it accepts); published at `oldest_s`."""

    items: tuple[tuple[Address, bytes], ...] = ()
    oldest_s: int = 0

    @property
    def gas(self) -> int:
        """Return what bringing them costs at most."""
        return PAYLOAD_GAS * len(self.items)

    def batch(self) -> bytes:
        """Return abi.encode(ManagerData[]): for `submitData`, or a transfer's manager data."""
        return join(([(int(feed, 16), data) for feed, data in self.items],))


class SignedData:
    """The payloads of one venue, and what they come to on top of its tables."""

    def __init__(self, tables: DeriveTables, rule: PayloadRule) -> None:
        self._tables = tables
        self._held: Payloads[Key] = Payloads(rule)
        self._unopened = Unopened()

    def hear(self, received: PayloadReceived) -> None:
        """Keep a payload for a feed of ours; one that does not open is told once a feed."""
        feed = received.feed.lower()
        rules = self._tables.feeds.get(feed)
        if rules is None:
            return
        try:
            expiry, payload = _announced(rules.kind, received)
        except (Unfit, ValueError) as error:
            self._unopened.tell(received.source, feed, str(error))
            return
        self._held.keep((feed, expiry), payload)

    def ahead(self, now: int) -> Ahead:
        """Return what the feeds would say at block time `now` after what we hold; may be empty."""
        self._held.expire(now)
        stands = Readings(self._tables, now)
        rows: dict[Key, Row] = {}
        payloads: dict[Key, Payload] = {}
        for key in self._held:
            feed, expiry = key
            rules = self._tables.feeds.get(feed)
            if rules is None or rules.kind not in LAYOUTS:
                continue  # the feed was rewired since
            before = stands.row(rules.kind, feed, expiry)
            newer_than = 0 if before is None else before.timestamp
            payload = self._held.chosen(key, now, newer_than)
            if payload is not None:
                row = opened(rules.kind, payload.data).row
                rows[key] = _kept_aggregates(row, before)
                payloads[key] = payload
        return Ahead(rows, payloads)

    def refuse(self, brought: Collection[bytes]) -> None:
        """Forget what the chain would not take: it must not be tried again and again."""
        self._held.forget(brought)

    def drain(self) -> list[Notice]:
        """Return and forget what is to be told."""
        return self._unopened.drain()


def _announced(kind: str, received: PayloadReceived) -> tuple[int, Payload]:
    """Return (expiry, payload) of what was received; raises Unfit or ValueError."""
    data = octets(received.payload)
    found = opened(kind, data)
    if (found.published_s, found.deadline_s) != (received.timestamp, received.deadline):
        raise Unfit("its times are not the ones it was announced with")
    return found.expiry, Payload(data, found.published_s, found.deadline_s)


def _kept_aggregates(row: Row, before: Row | None) -> Row:
    """Return a forward with the aggregates the feed holds, where the data bring none."""
    if not isinstance(row, ForwardRow) or not isinstance(before, ForwardRow):
        return row
    if row.start_aggregate or row.current_aggregate:
        return row
    return row._replace(
        start_aggregate=before.start_aggregate, current_aggregate=before.current_aggregate
    )
