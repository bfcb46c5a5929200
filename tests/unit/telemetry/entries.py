"""Entries, effects and timings as telemetry sees them, with a clock set by hand."""

from keeper.domain.effects import Assessment, Call, Command, Effects, Notice
from keeper.domain.events import BlockSealed, Entry, Event, Ticked
from keeper.domain.units import NS_PER_MS
from keeper.ports import Timing


AT_NS = 1_767_225_600_000_000_000
LANE = "0x" + "1a" * 20
HASH = "0x" + "cd" * 32


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.monotonic = 10**12

    def now_ns(self) -> int:
        return AT_NS

    def monotonic_ns(self) -> int:
        return self.monotonic

    def move_ms(self, ms: int) -> None:
        self.monotonic += ms * NS_PER_MS


def head(number: int = 7, *, at_tip: bool = True, received_ns: int = 0) -> BlockSealed:
    timestamp = AT_NS // 10**9 - 2
    return BlockSealed(957, number, HASH, HASH, timestamp, 7, 8, at_tip, received_ns, ())


def entry(event: Event | None = None, seq: int = 1) -> Entry:
    return Entry(seq, AT_NS, Ticked() if event is None else event)


def timing(at_ns: int, fold_ms: int = 1, decide_ms: int = 10) -> Timing:
    """Return a timing that was posted and started at `at_ns`."""
    folded = at_ns + fold_ms * NS_PER_MS
    return Timing(at_ns, at_ns, folded, folded + decide_ms * NS_PER_MS)


def assessment(venue: str = "derive", **changes: object) -> Assessment:
    values: dict[str, object] = {
        "venue": venue, "number": 7, "accounts": 300, "positions": 1200, "undecided": 2,
        "unsupported": 1, "breaches": 3, "insolvent": 1, "shortfall_usd": 12.5,
        "excess_min_usd": -7.25, "auctions": 2, "opportunities": 3, "proposals": 4,
        "quotes": (("ETH.spot", "OK"), ("ETH.vol", "OK")), **changes,
    }  # fmt: skip
    return Assessment(**values)  # type: ignore[arg-type]


def command(identifier: int = 1, kind: str = "start", account: int = 987_654) -> Command:
    call = Call(LANE, "0x12")
    return Command(identifier, "derive", account, kind, call, 10**6, 10**17, 0, 9, 0, None, 7, HASH)


def effects(*notices: Notice, commands: tuple[Command, ...] = ()) -> Effects:
    return Effects(commands, notices, (assessment(),))
