"""Leave to go live: a record of what was tried and agreed to, held against what is started.

Mode "live" does not start without it. It is good for one configuration, chain, set of lanes and
code of the executors alone: a change of any of them wants a new `keeper activate`. It must not
know how the trial is run, nor send anything.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from keeper.app.assembly import Places
from keeper.app.leave.executors import standings
from keeper.app.patience import patiently
from keeper.app.state.snapshots import look_for_contracts, store
from keeper.chain.keys.signer import Signer
from keeper.config import Config, config_digest
from keeper.domain.effects import Notice
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address, Hash
from keeper.ports import ChainReader
from keeper.telemetry.logging import Lines


FILE: Final = "activation.json"
CURE: Final = "run `keeper activate` with this configuration first"


@dataclass(frozen=True, slots=True)
class Activation:
    """What one leave is good for; `executors` are (venue, keccak of the code) pairs."""

    config_digest: str
    chain_id: int
    executors: tuple[tuple[str, Hash], ...]
    lanes: tuple[Address, ...]


async def activation_of(
    config: Config, reader: ChainReader, lanes: Sequence[Address]
) -> Activation:
    """Return what a leave for this start must say; raises ChainMismatch, EndpointError."""
    header = await reader.header("latest")
    await look_for_contracts(config, reader, header)
    found = await standings(config, reader, header.hash, lanes)
    return Activation(
        config_digest=config_digest(config),
        chain_id=config.chain.chain_id,
        executors=tuple((each.venue, each.code_hash) for each in found),
        lanes=tuple(sorted(lanes)),
    )


def record(places: Places, activation: Activation, trial: dict[str, Any]) -> Path:
    """Write the leave, with what the trial came to; raises StorageError."""
    path = places.root / FILE
    store(path, {**asdict(activation), "trial": trial})
    return path


def difference(places: Places, wanted: Activation) -> str | None:
    """Return why the leave that is there is not good for this start, None where it is."""
    path = places.root / FILE
    try:
        found = orjson.loads(path.read_bytes())
        given = orjson.loads(orjson.dumps(asdict(wanted)))
    except OSError:
        return f"there is no {path}"
    except orjson.JSONDecodeError:
        return f"{path} cannot be read as JSON"
    if not isinstance(found, dict):
        return f"{path} is no activation"
    for each in fields(Activation):
        if found.get(each.name) != given[each.name]:
            return f"{path} was given for another {each.name.replace('_', ' ')}"
    return None


async def admit(
    config: Config, reader: ChainReader, places: Places, signers: Sequence[Signer], lines: Lines
) -> None:
    """Let a live start go on, telling its caps; raises ConfigError where nobody gave leave."""
    if config.keeper.mode != "live":
        return
    lanes = [each.address for each in signers]
    ask = partial(activation_of, config, reader, lanes)
    wanted = await patiently(ask, "activation_again", lines)
    why = difference(places, wanted)
    if why is not None:
        raise ConfigError("keeper.mode", "live", f"{why}; {CURE}")
    caps = tuple((each.name, getattr(config.caps, each.name)) for each in fields(config.caps))
    told = (("lanes", len(wanted.lanes)), ("executors", len(wanted.executors)))
    lines.tell(Notice("live_with_caps", "info", (*told, *caps)))
