"""`keeper activate` after a clean check: the dry run, what is told of it, and the leave.

It must not print, ask or decide for the operator.
"""

from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from keeper.app.assembly import Places
from keeper.app.keys import load_signers
from keeper.app.leave.activating import activation_of, record
from keeper.app.leave.rehearsing import Rehearsal, rehearse
from keeper.app.links import open_link
from keeper.chain.link.reader import NodeReader
from keeper.config import Config, config_digest
from keeper.config.endpoints import read_endpoint
from keeper.domain.errors import ConfigError
from keeper.runtime.clock import SystemClock
from keeper.runtime.supervisor import Ended, run_to_end


def trial(config: Config, blocks: int) -> tuple[list[str], Rehearsal]:
    """Run dry for so many blocks; the lines to show, and what was counted.

    Raises ConfigError where the configuration would not go live anyway.
    """
    if config.keeper.mode != "live":
        cure = 'set it to "live" first: leave is given for the very file that will be run'
        raise ConfigError("keeper.mode", config.keeper.mode, cure)
    if blocks < 1:
        raise ConfigError("--blocks", blocks, "try one block or more")
    rehearsed = Rehearsal(blocks)

    async def run() -> Ended:
        return await rehearse(config, rehearsed)

    rehearsed.exit_code = run_to_end(run)
    return [*_told(rehearsed), *_caps(config)], rehearsed


async def agreed(config: Config, rehearsal: Rehearsal) -> Path:
    """Write the leave and return where it is; raises OperatorError, EndpointError."""
    async with AsyncExitStack() as stack:
        signers = await load_signers(config, stack)
        lanes = [each.address for each in signers]
        async with open_link(read_endpoint(config.chain)) as link:
            wanted = await activation_of(config, NodeReader(link, config.reader), lanes)
    told = {**rehearsal.summary(), "at_ns": SystemClock().now_ns()}
    return record(Places(Path(config.keeper.data_dir)), wanted, told)


def _told(rehearsal: Rehearsal) -> list[str]:
    """Return what the dry run came to, a line each."""
    told = rehearsal.summary()
    accounts = f"{told['accounts']} accounts margined, {told['undecided']} without a number"
    lines = [f"dry run: {told['blocks']} blocks, {accounts}"]
    for word, counts in (("would have sent", told["would_send"]), ("refused", told["refused"])):
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        lines.append(f"  {word}: {found or 'nothing'}")
    return lines


def _caps(config: Config) -> list[str]:
    """Return what may be spent, by whom, and under which digest."""
    lines = [f"configuration {config_digest(config)}, chain {config.chain.chain_id}"]
    lines += [f"  cap {name} = {value}" for name, value in asdict(config.caps).items()]
    lines.append(f"  {len(config.lanes)} lane(s), strategy {config.strategy.name}")
    return lines
