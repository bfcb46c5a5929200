"""A block's commonest logs, read column by column: balances, interest on cash, perpetuals.

Pure; no second opinion. What is not exactly of the expected form is left to `decode`, which reads
it log by log and says what is wrong. Must not know tables or what an event means.
"""

from binascii import unhexlify
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from operator import add
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keeper.domain.events import Log
from keeper.domain.units import AccountId, Address
from keeper.protocols.derive.abi import TOPIC
from keeper.protocols.derive.decode import account_of, address_of, asset_of
from keeper.protocols.derive.words import Unfit


PIECE_BYTES: Final = 96 * 1024
WORD_BYTES: Final = 32
LIMBS: Final = 4  # of 64 bits
HIGH_MAX: Final = 2**58 - 1  # of the third limb: 5.3e18 units, and a column holds 9.2e18
BALANCE: Final = TOPIC["BalanceAdjusted"]
INTEREST: Final = TOPIC["InterestAccruedOnAccount"]
SETTLED: Final = TOPIC["PositionSettled"]
FUNDED: Final = TOPIC["FundingAppliedOnAccount"]
CLEARED: Final = TOPIC["PositionCleared"]

Limbs = NDArray[np.int64]

_T = TypeVar("_T")
_Columns = tuple[Sequence[Address], Sequence[tuple[str, ...]], Sequence[str]]


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


class Run(NamedTuple):
    """The logs of one topic in log order, as columns of equal length.

    at       index of the log in its block
    topics   as the logs have them, in one column each topic
    sources  who spoke
    first    18 decimals. BALANCE: balance after; INTEREST: balance before and its interest;
             SETTLED: profit; FUNDED: funding; CLEARED: 0
    second   INTEREST: index; SETTLED: price; FUNDED: funding index; else as `first`
    account  FUNDED: the account, which no topic says; else as `first`
    """

    at: Sequence[int]
    topics: Sequence[Sequence[str]]
    sources: Sequence[Address]
    first: Sequence[int]
    second: Sequence[int]
    account: Sequence[int]

    def between(self, start: int, end: int) -> "Run":
        """Return what stands from index `start` of the block up to `end`."""
        if not self.at or (start <= self.at[0] and self.at[-1] < end):
            return self
        here = slice(bisect_left(self.at, start), bisect_left(self.at, end))
        at, topics, sources, first, second, account = self
        topics = [column[here] for column in topics]
        return Run(at[here], topics, sources[here], first[here], second[here], account[here])


NO_LOGS: Final = Run([], [], [], [], [], [])


class HotLogs(NamedTuple):
    """A block's hot logs by topic, what their topics say, and the indexes of all other logs.

    No account, manager or asset stands there under two topics.
    """

    runs: dict[str, Run]
    accounts: dict[str, AccountId]
    managers: dict[str, Address]
    assets: dict[str, tuple[Address, int]]  # (asset, subId)
    others: list[int]


def read_hot(logs: Sequence[Log], sources: Mapping[str, Collection[Address]]) -> HotLogs | None:
    """Return the hot logs of a block, or None where one of them needs a closer look.

    `sources` are the contracts of each hot topic; a stranger's log is one of the others.
    """
    if not logs:
        return HotLogs(dict.fromkeys(FORMS, NO_LOGS), {}, {}, {}, [])
    addresses, topics, data, _, _ = zip(*logs, strict=True)
    places: dict[str | None, list[int]] = defaultdict(list)
    for index, some in enumerate(topics):
        places[some[0] if some else None].append(index)
    others: list[int] = []
    columns: _Columns = (addresses, topics, data)
    runs: dict[str, Run] = {}
    try:
        for topic in FORMS:
            at, strange = _ours(places.pop(topic, []), addresses, sources[topic])
            others += strange
            runs[topic] = _run(columns, topic, at) if at else NO_LOGS
        said = [run.topics for run in runs.values()]
        accounts = _read(account_of, [words[1] for words in said if len(words) > 1])
        managers = _read(address_of, [words[2] for words in said if len(words) > 2])
        assets = _read(asset_of, [words[3] for words in said if len(words) > 3])
    except (Unfit, ValueError):
        return None
    return HotLogs(runs, accounts, managers, assets, sorted(chain(others, *places.values())))


def _ours(
    places: list[int], addresses: Sequence[Address], sources: Collection[Address]
) -> tuple[list[int], list[int]]:
    """Return which of the logs at `places` are of these sources, and which are not."""
    if {*map(addresses.__getitem__, places)}.issubset(sources):
        return places, []
    ours = [at for at in places if addresses[at] in sources]
    return ours, [at for at in places if addresses[at] not in sources]


def _run(columns: _Columns, topic: str, at: list[int]) -> Run:
    """Return the logs of one topic; raises Unfit or ValueError."""
    form = FORMS[topic]
    addresses, said, bodies = columns
    sources, data = list(map(addresses.__getitem__, at)), list(map(bodies.__getitem__, at))
    topics = list(zip(*map(said.__getitem__, at), strict=True))
    if len(topics) != form.topics:
        raise Unfit("another number of topics")
    limbs = _limbs(data, form)
    first = second = account = [0] * len(at)
    if topic == BALANCE:
        first = second = _numbers(limbs, 2)
    elif topic == INTEREST:
        before, interest = _numbers(limbs, 0), _numbers(limbs, 1)
        first, second = list(map(add, before, interest)), _numbers(limbs, 2, signed=False)
    elif topic == SETTLED:
        first, second = _numbers(limbs, 1), _numbers(limbs, 2, signed=False)
    elif topic == FUNDED:
        account = _numbers(limbs, 0, signed=False)
        first, second = _numbers(limbs, 1), _numbers(limbs, 2)
    return Run(at, topics, sources, first, second, account)


def _read(read: Callable[[str], _T], said: Sequence[Sequence[str]]) -> dict[str, _T]:
    """Return what topics say; raises Unfit or ValueError."""
    known = dict.fromkeys(chain(*said))
    if any(topic != topic.lower() for topic in known):
        raise Unfit("one thing may be said in two ways")
    return {topic: read(topic) for topic in known}


def _limbs(data: Sequence[str], form: Form) -> Limbs:
    """Return the data of logs as (log, word, limb); raises Unfit or ValueError.

    A piece at a time, out of the same memory: at once it would cost more pages than arithmetic.
    """
    length = 2 + 2 * WORD_BYTES * form.words
    if {*map(len, data)} != {length}:
        raise Unfit("another number of words")
    found = np.empty((len(data), form.words, LIMBS), np.int64)
    step = PIECE_BYTES // length
    for first in range(0, len(data), step):
        piece = "".join(data[first : first + step]).encode("ascii")
        rows = np.frombuffer(piece, np.uint8).reshape(-1, length)
        if (rows[:, 0] != ord("0")).any() or (rows[:, 1] != ord("x")).any():
            raise Unfit("data without a prefix")
        raw = unhexlify(rows[:, 2:].tobytes())
        limbs = np.frombuffer(raw, ">i8").reshape(len(rows), form.words, LIMBS)
        found[first : first + step] = limbs
    return found


def _numbers(limbs: Limbs, word: int, *, signed: bool = True) -> list[int]:
    """Return a word of each log; raises Unfit for one that some column could not hold."""
    top, high, low = limbs[:, word, :2], limbs[:, word, 2], limbs[:, word, 3].view(np.uint64)
    least = -HIGH_MAX if signed else 0
    if (top != (high >> 63)[:, None]).any() or high.min() < least or high.max() > HIGH_MAX:
        raise Unfit("a number of more than 122 bits")
    return [(each << 64) | rest for each, rest in zip(high.tolist(), low.tolist(), strict=True)]
