"""What carries commands out in each mode."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from keeper.app.assembly import Core, Places
from keeper.app.links import Links
from keeper.chain.keys.signer import Signer
from keeper.chain.ledger.store import Ledger
from keeper.chain.routes.book import RouteBook
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.routes.settings import load_identity, open_book
from keeper.chain.sending.follower import Report
from keeper.chain.sending.lanes import LaneParameters
from keeper.chain.sending.modes import ObservingExecutor, SimulatingExecutor
from keeper.chain.sending.nurse import FollowParameters
from keeper.chain.sending.preflight import Preflight
from keeper.chain.sending.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.config import Config
from keeper.domain.units import Address
from keeper.ports import Clock, Executor


# From whom calls are tried in mode "simulate" where no lane is configured.
NOBODY: Address = "0x" + 39 * "0" + "1"


async def execute(
    config: Config,
    clock: Clock,
    links: Links,
    core: Core,
    report: Report,
    signers: Sequence[Signer],
    stack: AsyncExitStack,
) -> tuple[Executor, int]:
    """Return the mode's executor and the next command id."""
    if config.keeper.mode == "observe":
        return ObservingExecutor(), 1
    venues = {venue.name: venue for venue in core.venues}

    def reason(venue: str, data: str) -> str:
        return venues[venue].reason(data) if venue in venues else "unknown"

    if config.keeper.mode == "simulate":
        preflight = Preflight(links.read, reason, config.preflight, config.fees)
        return SimulatingExecutor(preflight, signers[0].address if signers else NOBODY), 1
    places = Places(Path(config.keeper.data_dir))
    ledger = await Ledger.open(places.ledger, config.chain.chain_id, config.caps)
    stack.push_async_callback(ledger.close)
    around = Surroundings(
        rpc=links.read,
        witnesses=(links.watch,),
        routes=await _routes(config, links, stack, report),
        reason=reason,
        clock=clock,
        report=report,
        # Silence is judged elsewhere: a command is decided on a head that just came, and tried at
        # that very block. What only the pool can know is that another endpoint has another block.
        doubts={"head_disagreement": lambda: links.pool.conflict is not None},
    )
    parameters = parameters_of(config, signers)
    executor = LaneExecutor(config.chain.chain_id, around, ledger, signers, parameters)
    return executor, await ledger.next_command_id()


def parameters_of(config: Config, signers: Sequence[Signer]) -> ExecutionParameters:
    """Return what the executor is to keep to; signers in the order of the configured lanes."""
    own = [
        (signer.address, lane.in_flight_max)
        for signer, lane in zip(signers, config.lanes, strict=True)
    ]
    return ExecutionParameters(
        catch_up_ms_max=config.chain.call_deadline_ms,
        head_age_ms_max=config.chain.stall_blocks * config.chain.block_time_ms,
        lanes=LaneParameters(own=tuple(own)),
        fees=config.fees,
        preflight=config.preflight,
        preemption=config.preemption,
        breakers=config.breakers,
        follow=FollowParameters(
            final_blocks=config.chain.finality_blocks,
            deadline_ms_max=config.chain.call_deadline_ms,
        ),
    )


async def _routes(config: Config, links: Links, stack: AsyncExitStack, report: Report) -> RouteBook:
    file = config.chain.relay_key_file
    identity = load_identity(file) if file is not None else None
    policy = config.route_policy
    deadline_s = config.chain.call_deadline_ms / 1_000
    public = [PublicRoute(node, deadline_s) for node in links.send]
    return await open_book(public, config.routes, identity, policy, stack, report)
