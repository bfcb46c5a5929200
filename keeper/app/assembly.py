"""The pure side from a configuration: portfolio, venues, strategies, machine; files' places.

Run and replay build the same machine here, or a replay would prove nothing.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from keeper import __version__
from keeper.config import Config
from keeper.domain.errors import ConfigError, MalformedRecord
from keeper.domain.units import Address, Hash
from keeper.liquidation import executor
from keeper.liquidation.priority import ORDERS
from keeper.liquidation.strategy import Strategy
from keeper.machine import Machine, MachineParameters
from keeper.margin.kernel.front import compiled
from keeper.portfolio.image import Image, fill
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.actions import calls
from keeper.protocols.derive.derive import Derive


# Keys of a venue's table that hold a contract's address, beside its managers.
CONTRACTS = ("sub_accounts", "cash", "auction")
OPTIONAL_CONTRACTS = ("auction_utils", "data_submitter", "executor")


@dataclass(frozen=True, slots=True)
class Places:
    """Where one keeper keeps what it must remember, under `[keeper] data_dir`."""

    root: Path

    @property
    def journal(self) -> Path:
        """Return the folder of journal files."""
        return self.root / "journal"

    @property
    def snapshots(self) -> Path:
        """Return the folder of snapshot files."""
        return self.root / "snapshots"

    @property
    def ledger(self) -> Path:
        """Return the ledger's file."""
        return self.root / "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Core:
    """The pure side of one keeper."""

    portfolio: Portfolio
    venues: tuple[Derive, ...]
    machine: Machine


def edition() -> str:
    """Return the version with the kernel that margins: "0.1.0+compiled" or "0.1.0+numpy".

    The two agree to the last ulp or so, which is enough to tell two equal worst scenarios apart:
    a journal is replayed on the kernel it was recorded with.
    """
    return f"{__version__}+{'numpy' if compiled().reason else 'compiled'}"


def assemble(config: Config) -> Core:
    """Return the pure side, empty: no snapshot is loaded yet. Raises ConfigError."""
    if config.strategy.order not in ORDERS:
        cure = f"use one of: {', '.join(ORDERS)}"
        raise ConfigError("strategy.order", config.strategy.order, cure)
    portfolio = Portfolio()
    venues = tuple(Derive(each, portfolio) for each in config.venues.values())
    strategy = load_strategy(config.strategy.name, config.strategy.parameters)
    parameters = MachineParameters(
        chain_id=config.chain.chain_id,
        order=config.strategy.order,
        limits=config.limits,
        cooldown=config.cooldown,
        act_after_blocks=config.keeper.act_after_blocks,
        halt=config.halt,
        mandates=config.mandates,
    )
    machine = Machine(parameters, portfolio, venues, {each.name: strategy for each in venues})
    return Core(portfolio, venues, machine)


def meanings() -> dict[str, str]:
    """Return what the protocols' words for reverts mean, one of `telemetry.outcomes` each."""
    return {**executor.MEANINGS, **calls.MEANINGS}


def load_strategy(name: str, parameters: Mapping[str, Any]) -> Strategy:
    """Return the policy named "module:Class", given its own parameters; raises ConfigError."""
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        cure = f"cannot be imported ({error}); name an importable module:Class"
        raise ConfigError("strategy.name", name, cure) from error
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        known = [each for each, value in vars(module).items() if inspect.isclass(value)]
        cure = f"{module_name} has no class {class_name}; it has {', '.join(sorted(known))}"
        raise ConfigError("strategy.name", name, cure)
    return cast("Strategy", found(**parameters))


def load_snapshot(core: Core, document: Mapping[str, Any] | Image) -> tuple[int, Hash]:
    """Write a snapshot of all venues, or a state file, into empty tables; return its block.

    Raises MalformedRecord, StateRefused.
    """
    if isinstance(document, Image):
        fill(core.portfolio, document)
        return document.label.number, document.label.hash
    try:
        number, block = int(document["number"]), str(document["hash"])
        venues = dict(document["venues"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRecord("snapshot", 0, f"not a snapshot of ours: {error!r}") from error
    core.portfolio.undo.begin(number, block)
    for venue in core.venues:
        if venue.name not in venues:
            raise MalformedRecord("snapshot", 0, f"holds nothing of venue {venue.name}")
        venue.load(venues[venue.name])
    return number, block


def contracts(config: Config) -> list[tuple[str, Address]]:
    """Return (configuration key, address) of every contract that must be there."""
    found: list[tuple[str, Address | None]] = []
    for name, venue in config.venues.items():
        key = f"venues.{name}"
        found += [(f"{key}.{word}", getattr(venue, word)) for word in CONTRACTS]
        found += [(f"{key}.managers[{at}]", each) for at, each in enumerate(venue.managers)]
        found += [(f"{key}.{word}", getattr(venue, word)) for word in OPTIONAL_CONTRACTS]
    found += [(f"oracles.{each.name}.feed", each.feed) for each in config.oracles]
    return [(key, address) for key, address in found if address is not None]


def targets(config: Config) -> frozenset[Address]:
    """Return the contracts that a lane may ever call: the signer refuses everything else."""
    found: dict[Address, None] = {}
    for venue in config.venues.values():
        found.update(dict.fromkeys((venue.auction, *venue.managers)))
        if venue.auction_utils is not None:
            found[venue.auction_utils] = None
        if venue.executor is not None:
            found[venue.executor] = None
        if venue.data_submitter is not None:
            found[venue.data_submitter] = None
    return frozenset(found)
