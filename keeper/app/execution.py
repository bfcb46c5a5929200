"""What carries commands out in each mode, and the keys of the lanes."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from keeper.app.assembly import Core, Places, targets
from keeper.app.links import Links
from keeper.chain.follower import Report
from keeper.chain.lanes import LaneParameters
from keeper.chain.ledger import Ledger
from keeper.chain.modes import ObservingExecutor, SimulatingExecutor
from keeper.chain.nurse import FollowParameters
from keeper.chain.preflight import Preflight, PreflightParameters
from keeper.chain.route_book import RouteBook
from keeper.chain.route_settings import load_identity, open_book
from keeper.chain.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.chain.signer import LocalSigner, load_signer
from keeper.config import Config
from keeper.domain.errors import ChainMismatch
from keeper.domain.units import Address
from keeper.ports import Clock, Executor
from keeper.runtime.clock import SystemClock


# From whom calls are tried in mode "simulate" where no lane is configured.
NOBODY: Address = "0x" + 39 * "0" + "1"


async def execute(
    config: Config,
    clock: Clock,
    links: Links,
    core: Core,
    report: Report,
    signers: Sequence[LocalSigner],
    stack: AsyncExitStack,
) -> tuple[Executor, int]:
    """Return the mode's executor and the next command id."""
    if config.keeper.mode == "observe":
        return ObservingExecutor(), 1
    venues = {venue.name: venue for venue in core.venues}

    def reason(venue: str, data: str) -> str:
        return venues[venue].reason(data) if venue in venues else "unknown"

    if config.keeper.mode == "simulate":
        preflight = Preflight(links.read, reason, PreflightParameters())
        return SimulatingExecutor(preflight, signers[0].address if signers else NOBODY), 1
    places = Places(Path(config.keeper.data_dir))
    ledger = await Ledger.open(places.ledger, config.chain.chain_id, config.caps)
    stack.push_async_callback(ledger.close)
    around = Surroundings(
        rpc=links.read,
        witnesses=(links.watch,),
        routes=await _routes(config, links, stack),
        reason=reason,
        clock=clock,
        report=report,
        # Silence is judged elsewhere: a command is decided on a head that just came, and tried at
        # that very block. What only the pool can know is that another endpoint has another block.
        doubts={"head_disagreement": lambda: links.pool.conflict is not None},
    )
    parameters = ExecutionParameters(
        lanes=LaneParameters(min(lane.in_flight_max for lane in config.lanes)),
        fees=config.fees,
        breakers=config.breakers,
        follow=FollowParameters(final_blocks=config.chain.finality_blocks),
    )
    executor = LaneExecutor(config.chain.chain_id, around, ledger, signers, parameters)
    return executor, await ledger.next_command_id()


async def _routes(config: Config, links: Links, stack: AsyncExitStack) -> RouteBook:
    file = config.chain.relay_key_file
    identity = load_identity(file) if file is not None else None
    return await open_book(links.send, config.routes, identity, config.route_policy, stack)


async def load_signers(config: Config) -> list[LocalSigner]:
    """Read every lane's key; raises KeyFileError, ChainMismatch where two lanes are one."""
    allowed = targets(config)
    signers: list[LocalSigner] = []
    for lane in config.lanes:
        signer = await load_signer(
            lane.key_file,
            lane.password_file,
            config.chain.chain_id,
            allowed,
            config.signing,
            SystemClock(),
        )
        if any(signer.address == other.address for other in signers):
            cure = "give each lane its own key"
            raise ChainMismatch(f"lane {lane.key_file}", "a new sender", signer.address, cure)
        signers.append(signer)
    return signers
