"""A block's commonest logs, read column by column: balances, interest on cash, perpetuals.

Pure; no second opinion. What is not exactly of the expected form is left to `decode`, which reads
it log by log and says what is wrong. Must not know tables or what an event means.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keeper.domain.events import Log
from keeper.domain.logs import NONE, TOPICS_MAX, Columns, Places, columns_of, windows
from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.abi import TOPIC
from keeper.protocols.derive.logs.decode import account_of, address_of, asset_of
from keeper.protocols.derive.words import Unfit


WORD_BYTES: Final = 32
LIMBS: Final = 4  # of 64 bits
HIGH_MAX: Final = 2**58 - 1  # of the third limb: 5.3e18 units, and a column holds 9.2e18
BALANCE: Final = TOPIC["BalanceAdjusted"]
INTEREST: Final = TOPIC["InterestAccruedOnAccount"]
SETTLED: Final = TOPIC["PositionSettled"]
FUNDED: Final = TOPIC["FundingAppliedOnAccount"]
CLEARED: Final = TOPIC["PositionCleared"]

_T = TypeVar("_T")


class Form(NamedTuple):
    """How many topics and data words the logs of a topic have."""

    topics: int
    words: int


FORMS: Final = {
    BALANCE: Form(4, 4),
    INTEREST: Form(2, 3),
    SETTLED: Form(2, 3),
    FUNDED: Form(1, 3),
    CLEARED: Form(2, 0),
}


class Numbers(NamedTuple):
    """Exact integers, value = high x 2^64 + low; both (number,)."""

    high: NDArray[np.int64]
    low: NDArray[np.uint64]

    def at(self, rows: Places | slice) -> "Numbers":
        """Return some of them."""
        return Numbers(self.high[rows], self.low[rows])

    def plus(self, other: "Numbers") -> "Numbers":
        """Return the sums, one each; both sides are below 2^122, so that nothing overflows."""
        low = self.low + other.low
        return Numbers(self.high + other.high + (low < self.low), low)

    def then(self, other: "Numbers") -> "Numbers":
        """Return these and then the others."""
        return Numbers(np.append(self.high, other.high), np.append(self.low, other.low))

    def ints(self) -> list[int]:
        """Return them as Python's integers."""
        pairs = zip(self.high.tolist(), self.low.tolist(), strict=True)
        return [high << 64 | low for high, low in pairs]


class Run(NamedTuple):
    """The logs of one topic in log order, as columns of equal length.

    at       index of the log in its block
    topics   (log, TOPICS_MAX) place of the topics in `HotLogs.columns.words`
    sources  who spoke: place in `HotLogs.columns.addresses`
    first    18 decimals. BALANCE: balance after; INTEREST: balance before and its interest;
             SETTLED: profit; FUNDED: funding; CLEARED: 0
    second   INTEREST: index; SETTLED: price; FUNDED: funding index; else as `first`
    account  FUNDED: the account, which no topic says; else as `first`
    """

    at: Places
    topics: Places
    sources: Places
    first: Numbers
    second: Numbers
    account: Numbers

    def between(self, start: int, end: int) -> "Run":
        """Return what stands from index `start` of the block up to `end`."""
        return self.some(slice(*np.searchsorted(self.at, (start, end)).tolist()))

    def some(self, here: Places | slice) -> "Run":
        """Return some of the logs."""
        at, topics, sources, *numbers = self
        return Run(at[here], topics[here], sources[here], *(each.at(here) for each in numbers))


class HotLogs(NamedTuple):
    """A block's hot logs by topic, what their topics say, and the indexes of all other logs.

    The tables are by place in `columns.words`; nothing stands there under two topics.
    """

    columns: Columns
    runs: dict[str, Run]
    accounts: dict[int, AccountId]
    managers: dict[int, Address]
    assets: dict[int, tuple[Address, int]]  # (asset, subId)
    others: list[int]


def read_hot(logs: Sequence[Log], sources: Mapping[str, Collection[Address]]) -> HotLogs | None:
    """Return the hot logs of a block, or None where one of them needs a closer look.

    `sources` are the contracts of each hot topic; a stranger's log is one of the others.
    """
    try:
        columns = columns_of(logs)
        kinds = {word: place for place, word in enumerate(columns.words) if word in FORMS}
        nowhere = len(columns.words)
        runs = {
            topic: _run(columns, topic, kinds.get(topic, nowhere), sources[topic])
            for topic in FORMS
        }
        said = [[run.topics[:, place] for run in runs.values()] for place in range(TOPICS_MAX)]
        accounts = _read(account_of, columns, said[1])
        managers = _read(address_of, columns, said[2])
        assets = _read(asset_of, columns, said[3])
    except (Unfit, ValueError):
        return None
    other = np.ones(len(logs), bool)
    for run in runs.values():
        other[run.at] = False
    return HotLogs(columns, runs, accounts, managers, assets, np.flatnonzero(other).tolist())


def _run(columns: Columns, topic: str, kind: int, sources: Collection[Address]) -> Run:
    """Return these sources' logs of one topic, which stands at `kind`; raises Unfit."""
    ours = np.array([each in sources for each in columns.addresses], bool)
    at = np.flatnonzero((columns.topics[:, 0] == kind) & ours[columns.address])
    its, form = columns.at(at), FORMS[topic]
    if ((its.topics != NONE).sum(axis=1) != form.topics).any():
        raise Unfit("another number of topics")
    if (its.size != WORD_BYTES * form.words).any():
        raise Unfit("another number of words")
    none = np.zeros(len(at), np.int64)
    first = second = account = Numbers(none, none.view(np.uint64))
    if at.size:
        if topic == BALANCE:
            first = second = _numbers(its, 2)
        elif topic == INTEREST:
            first = _numbers(its, 0).plus(_numbers(its, 1))
            second = _numbers(its, 2, signed=False)
        elif topic == SETTLED:
            first, second = _numbers(its, 1), _numbers(its, 2, signed=False)
        elif topic == FUNDED:
            account = _numbers(its, 0, signed=False)
            first, second = _numbers(its, 1), _numbers(its, 2)
    return Run(at, its.topics, its.address, first, second, account)


def _numbers(columns: Columns, word: int, *, signed: bool = True) -> Numbers:
    """Return a data word of each log; raises Unfit for one that some column could not hold."""
    raw = windows(columns.data, WORD_BYTES, columns.start + WORD_BYTES * word)
    limbs = raw.view(">i8").reshape(-1, LIMBS).astype(np.int64)
    top, high, low = limbs[:, :2], limbs[:, 2], limbs[:, 3].view(np.uint64)
    least = -HIGH_MAX if signed else 0
    if (top != (high >> 63)[:, None]).any() or high.min() < least or high.max() > HIGH_MAX:
        raise Unfit("a number of more than 122 bits")
    return Numbers(high, low)


def _read(read: Callable[[str], _T], columns: Columns, said: Sequence[Places]) -> dict[int, _T]:
    """Return what topics say, by their place; raises Unfit or ValueError."""
    heard = np.zeros(len(columns.words), bool)
    for places in said:
        heard[places[places != NONE]] = True
    known = {place: columns.words[place] for place in np.flatnonzero(heard).tolist()}
    if any(topic != topic.lower() for topic in known.values()):
        raise Unfit("one thing may be said in two ways")
    return {place: read(topic) for place, topic in known.items()}
