"""Signed data that any transaction may carry to a feed: kept while they count, chosen by a policy.

Knows when a payload counts and nothing of what it says. Push feeds that take signed data and
Pyth-style pull oracles are the same here: a time of publication, a last time, a fee. What is heard
from outside the chain is no state of the chain's: a reorg takes nothing of it back.
"""

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Literal, NamedTuple, TypeVar

from keeper.domain.effects import Notice
from keeper.domain.units import Address


Policy = Literal["latest_only", "best_valid"]
KEYS_MAX: Final = 4_096
REFUSED_MAX: Final = 4_096
TOLD_MAX: Final = 64

K = TypeVar("K", bound=Hashable)


class Payload(NamedTuple):
    """Bytes a feed accepts in a block whose timestamp is in `published_s..deadline_s`."""

    data: bytes
    published_s: int
    deadline_s: int
    fee_wei: int = 0


@dataclass(frozen=True, slots=True)
class PayloadRule:
    """Which payload goes along with an action; `[venues.<name>.payloads]`.

    policy      "latest_only": the newest heard, or none once it does not count any more;
                "best_valid": the newest of those that still count
    margin_s    how much longer than the decided block it must count: the action's block is later
    kept_max    payloads kept a feed; the oldest is forgotten for a newer one
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    policy: Policy = "best_valid"
    margin_s: int = 15
    kept_max: int = 8


class Payloads(Generic[K]):
    """What is held for each key (a feed, or a feed and an expiry), newest last."""

    def __init__(self, rule: PayloadRule) -> None:
        self._rule = rule
        self._held: dict[K, list[Payload]] = {}
        self._refused: dict[bytes, None] = {}

    def keep(self, key: K, payload: Payload) -> bool:
        """Keep a payload; False where it brings nothing new, was refused, or there is no room."""
        if key not in self._held and len(self._held) >= KEYS_MAX:
            return False
        if payload.data in self._refused or payload.published_s > payload.deadline_s:
            return False
        held = self._held.setdefault(key, [])
        if payload in held:
            return False
        held.append(payload)
        held.sort(key=lambda each: (each.published_s, each.deadline_s, each.data))
        del held[: max(0, len(held) - max(1, self._rule.kept_max))]
        return payload in held

    def chosen(self, key: K, now: int, newer_than: int) -> Payload | None:
        """Return what to bring to a feed that holds data of `newer_than`, at block time `now`.

        None where nothing that counts would change what the feed says.
        """
        held = self._held.get(key, [])
        within = held[-1:] if self._rule.policy == "latest_only" else held
        for payload in reversed(within):
            if payload.published_s <= newer_than:
                return None
            if self._counts(payload, now):
                return payload
        return None

    def expire(self, now: int) -> None:
        """Forget what counts no more."""
        for key in list(self._held):
            left = [each for each in self._held[key] if each.deadline_s >= now]
            if left:
                self._held[key] = left
            else:
                del self._held[key]

    def forget(self, refused: Collection[bytes]) -> None:
        """Forget what the chain would not take, and do not take it again from whoever sends it."""
        self._refused.update(dict.fromkeys(refused))
        while len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        for held in self._held.values():
            held[:] = [each for each in held if each.data not in refused]

    def __iter__(self) -> Iterator[K]:
        """Return the keys, in the order they were first heard of."""
        return iter(self._held)

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    def _counts(self, payload: Payload, now: int) -> bool:
        return payload.published_s <= now and now + self._rule.margin_s <= payload.deadline_s


class Unopened:
    """What was announced as signed data and is none: told once a source and feed."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, Address], None] = {}
        self._notices: list[Notice] = []

    def tell(self, source: str, feed: Address, problem: str) -> None:
        """Note what is wrong with a source's data for a feed."""
        if (source, feed) in self._told or len(self._told) >= TOLD_MAX:
            return
        self._told[source, feed] = None
        fields = (("source", source), ("feed", feed), ("problem", problem[:200]))
        self._notices.append(Notice("payload_malformed", "warning", fields))

    def drain(self) -> list[Notice]:
        """Return and forget what is to be told."""
        told, self._notices = self._notices, []
        return told
