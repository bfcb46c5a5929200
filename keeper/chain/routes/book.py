"""Which routes get which bytes, and how good each has been: private first, public by policy.

It chooses and keeps score, and sends nothing. What was public once stays public: going back to
private routes would hide nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Protocol, runtime_checkable

from keeper.chain.ledger.rows import ACT, Attempt, Delivery
from keeper.chain.routes.routing import (
    ACCEPTED,
    FEE_CAPPED,
    GAS_CAPPED,
    LIED,
    NO_ANSWER,
    RATE_LIMITED,
    REFUSED,
    TOO_LARGE,
    UNKNOWN,
    Route,
)
from keeper.domain.errors import KeeperError
from keeper.domain.units import Address


SLOTS_REMEMBERED_MAX: Final = 4_096
# Answers that say something about the route, not about the bytes: the rest leave its score alone.
FAULTS: Final = (NO_ANSWER, LIED, RATE_LIMITED, UNKNOWN, REFUSED)
# Answers that only an operator can change: a limit of the node's, or one of ours, is wrong.
UNFIT: Final = {
    FEE_CAPPED: "raise the node's limit on fees (geth: --rpc.txfeecap), or lower [fees]",
    GAS_CAPPED: "no block takes so much gas: lower the gas of what is asked for",
    TOO_LARGE: "this route takes no bytes so long: send less at once, or over another",
}


class RouteUnfit(KeeperError):
    """A route takes no transaction of this kind, now or later; others may."""

    def __init__(self, route: str, outcome: str) -> None:
        self.route = route
        self.outcome = outcome
        super().__init__(f"{route}: {outcome}: {UNFIT[outcome]}")


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """When bytes that were private go public, and how fast a score forgets.

    public_after_blocks  blocks after the first sending; 0: from the first
    public_ever          False: what has private routes never goes public
    score_min            routes below are left out while a better one of their kind is there
    weight_ppm           share of a new answer in the running averages
    forgiven_ppm         share of what a score lacks that each block gives back: a route that is
                         left out is tried again after a while, else it never could do better
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    public_after_blocks: int = 3
    public_ever: bool = True
    score_min: float = 0.2
    weight_ppm: int = 200_000
    forgiven_ppm: int = 20_000


@runtime_checkable
class Aimed(Protocol):
    """A route that names a block in what it sends."""

    def see(self, number: int) -> None:
        """Learn the newest head's number."""


class Score(NamedTuple):
    """Running averages of one route: share of answers without fault, and latency."""

    success: float = 1.0
    latency_us: float = 0.0
    answers: int = 0

    def after(self, delivery: Delivery, weight: float) -> "Score":
        """Return the score with one more answer in it."""
        success = 0.0 if delivery.outcome in FAULTS else 1.0
        first = self.answers == 0
        return Score(
            self.success + weight * (success - self.success),
            delivery.latency_us if first else
            self.latency_us + weight * (delivery.latency_us - self.latency_us),
            self.answers + 1,
        )  # fmt: skip


class RouteBook:
    """All routes of one chain with their privacy and their scores."""

    def __init__(
        self,
        public: Sequence[Route],
        private: Sequence[Route] = (),
        policy: RoutePolicy | None = None,
        report: Callable[[str, KeeperError], None] | None = None,
    ) -> None:
        """Take the routes; `report` is told, once each, of those that only an operator can mend."""
        self._report = report
        self._unfit: dict[str, str] = {}
        self._public = tuple(public)
        self._private = tuple(private)
        self._policy = policy if policy is not None else RoutePolicy()
        self._head = 0
        self._first: dict[tuple[Address, int], int] = {}
        self._shown: dict[tuple[Address, int], None] = {}
        self._scores = {route.name: Score() for route in (*self._public, *self._private)}

    def __iter__(self) -> Iterator[Route]:
        return iter((*self._public, *self._private))

    @property
    def scores(self) -> Mapping[str, Score]:
        """Return every route's score, by its name."""
        return dict(self._scores)

    def see(self, number: int) -> None:
        """Learn the newest head's number, and tell the routes that name blocks."""
        kept = (1.0 - self._policy.forgiven_ppm / 1_000_000) ** max(number - self._head, 0)
        for name, score in self._scores.items():
            self._scores[name] = score._replace(success=1.0 - kept * (1.0 - score.success))
        self._head = number
        for route in (*self._public, *self._private):
            if isinstance(route, Aimed):
                route.see(number)

    def choose(self, attempt: Attempt) -> tuple[Route, ...]:
        """Return where these bytes go now: never nowhere, while any route is configured.

        Fills and cancels have nothing to hide, and a nonce they must heal holds up all others.
        """
        slot = (attempt.lane, attempt.nonce)
        self._first.setdefault(slot, self._head)
        self._forget()
        if not self._private:
            return self._fit(self._public)
        if attempt.kind == ACT and slot not in self._shown and not self._overdue(slot):
            return self._fit(self._private)
        self._shown[slot] = None
        return (*self._fit(self._private), *self._fit(self._public))

    def score(self, deliveries: Sequence[Delivery]) -> None:
        """Take the routes' answers into their scores."""
        weight = self._policy.weight_ppm / 1_000_000
        for delivery in deliveries:
            before = self._scores.get(delivery.route, Score())
            self._scores[delivery.route] = before.after(delivery, weight)
            self._complain(delivery.route, delivery.outcome)

    def _complain(self, route: str, outcome: str) -> None:
        """Report what the operator must mend: when it begins, and anew after a yes in between."""
        if outcome == ACCEPTED:
            self._unfit.pop(route, None)
        if outcome not in UNFIT or self._unfit.get(route) == outcome:
            return
        self._unfit[route] = outcome
        if self._report is not None:
            self._report("route", RouteUnfit(route, outcome))

    def _overdue(self, slot: tuple[Address, int]) -> bool:
        policy = self._policy
        old = self._head - self._first[slot] >= policy.public_after_blocks
        return bool(self._public) and policy.public_ever and old

    def _fit(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Return the routes worth asking, the best first; all where none is."""

        def rank(route: Route) -> tuple[float, float, str]:
            score = self._scores[route.name]
            return (-score.success, score.latency_us, route.name)

        ordered = sorted(routes, key=rank)
        low = self._policy.score_min
        fit = [route for route in ordered if self._scores[route.name].success >= low]
        return tuple(fit or ordered)

    def _forget(self) -> None:
        while len(self._first) > SLOTS_REMEMBERED_MAX:
            oldest = next(iter(self._first))
            del self._first[oldest]
            self._shown.pop(oldest, None)


def book_of(routes: Sequence[Route] | RouteBook) -> RouteBook:
    """Return the book, or one in which plain routes are all public."""
    return routes if isinstance(routes, RouteBook) else RouteBook(routes)
