"""`keeper replay`: re-apply a recorded journal, and tell what the accounts came to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from keeper.app.assembly import Core, Places, assemble, edition, load_snapshot
from keeper.app.state.snapshots import restore
from keeper.config import Config, config_digest
from keeper.domain.errors import ConfigError
from keeper.domain.events import Started
from keeper.machine import Machine, compute
from keeper.runtime.replay import ReplayCounts, replay
from keeper.venue import Margined


def replay_journal(config: Config, journal: Path, accounts: Path | None = None) -> ReplayCounts:
    """Re-apply a journal under the configuration it was recorded with.

    Writes every account's figures of the last decided block to `accounts` where given. Raises
    ReplayDiverged, MalformedRecord, ConfigError where the configuration is another.
    """
    cores: list[Core] = []

    def build(started: Started) -> Machine:
        digest = config_digest(config)
        if started.config_digest != digest:
            cure = f"the journal was recorded under {started.config_digest}; give that file"
            raise ConfigError("configuration digest", digest, cure)
        kernel = started.version.partition("+")[2]
        if kernel and not edition().endswith(kernel):
            cure = f"the journal was recorded by {started.version}; replay it with that kernel"
            raise ConfigError("keeper edition", edition(), cure)
        core = assemble(config)
        places = Places(Path(config.keeper.data_dir))
        file = places.snapshots / started.snapshot_file
        load_snapshot(core, restore(file, started.snapshot_digest))
        cores.append(core)
        return core.machine

    counts = replay(journal, build)
    if accounts is not None:
        lines = [line for core in cores for line in figures(core.machine)]
        accounts.write_bytes(orjson.dumps(lines, option=orjson.OPT_INDENT_2))
    return counts


def figures(machine: Machine) -> Iterator[dict[str, Any]]:
    """Yield every account's figures of the last decided block.

    `equity_usd`, `mm_excess_usd` and `im_excess_usd` are on stored cash, as the chain's views show
    them (MtM, MM, IM); `excess_usd` is on accrued cash, which decides.
    """
    number = machine.decided[0] if machine.decided is not None else 0
    for venue, margined in machine.margined.items():
        for each in margined:
            compute(each, range(len(each.book.accounts)))
            yield from _figures(venue, number, each)


def _figures(venue: str, number: int, margined: Margined) -> Iterator[dict[str, Any]]:
    stored, accrued = margined.stored, margined.accrued
    columns = (stored.equity, stored.excess, stored.excess_initial, accrued.excess, stored.gross)
    names = ("equity_usd", "mm_excess_usd", "im_excess_usd", "excess_usd", "gross_usd")
    for row, account in enumerate(margined.book.accounts.tolist()):
        yield {
            "venue": venue,
            "account": account,
            "underlying": margined.book.underlying,
            "number": number,
            **{name: float(column[row]) for name, column in zip(names, columns, strict=True)},
            "worst": int(stored.worst[row]),
            "defined": bool(stored.defined[row]),
        }
