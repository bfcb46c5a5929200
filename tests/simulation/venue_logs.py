"""Logs of the simulated venue, encoded word by word; held against eth-abi by a test.

It knows signatures and words, and nothing of what a log means.
"""

from typing import NamedTuple

from keeper.protocols.derive.abi import TOPIC


class Emitted(NamedTuple):
    """A log before it has a place in a block."""

    address: str
    topics: tuple[str, ...]
    data: str


def word(value: int | str | bool) -> str:
    """Return one word as hex: a number in two's complement, an address, a flag."""
    number = int(value, 16) if isinstance(value, str) else int(value)
    return f"{number % 2**256:064x}"


def emitted(
    name: str, source: str, indexed: tuple[int | str, ...], *data: int | str | bool
) -> Emitted:
    """Return the log of an event: its indexed words, then its data words."""
    topics = (TOPIC[name], *("0x" + word(each) for each in indexed))
    return Emitted(source, topics, "0x" + "".join(map(word, data)))


def balance_adjusted(
    source: str, key: tuple[int, str, str, int], amount: int, pre: int, trade: int
) -> Emitted:
    """Return BalanceAdjusted; `key` is (account, manager, asset, subId), packed as on chain."""
    account, manager, asset, sub_id = key
    packed = (int(asset, 16) << 96) | sub_id
    data = (amount, pre, pre + amount, trade)
    return emitted("BalanceAdjusted", source, (account, manager, packed), *data)


def scenarios_updated(source: str, rows: tuple[tuple[int, int, int], ...]) -> Emitted:
    """Return ScenariosUpdated: one dynamic list of structs."""
    words = [part for row in rows for part in row]
    return emitted("ScenariosUpdated", source, (), 32, len(rows), *words)
