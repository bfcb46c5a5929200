"""`keeper lanes`: what the ledger says of lanes, and the operator's two words, ack and reset.

Showing works beside a running keeper; ack and reset want it stopped, for the ledger has one owner.
Must not know how lanes work.
"""

from pathlib import Path

from keeper.app.assembly import Places
from keeper.app.links import open_link
from keeper.chain.link.reader import NodeReader
from keeper.chain.sending.lane_report import acknowledge_lane, lane_lines, reset_breaker
from keeper.config import Config
from keeper.config.endpoints import read_endpoint
from keeper.domain.units import Address
from keeper.runtime.clock import SystemClock


def show_lanes(config: Config) -> list[str]:
    """Return lanes, slots, attempts, reservations and breakers as lines; raises StorageError."""
    return lane_lines(_ledger(config), config.chain.chain_id)


async def acknowledge(config: Config, lane: Address) -> int:
    """Let a quarantined lane work again from the chain's own nonce on; return that nonce.

    Raises StorageError while a keeper runs, EndpointError, InvariantViolation where the lane is
    not in quarantine.
    """
    async with open_link(read_endpoint(config.chain)) as link:
        reader = NodeReader(link, config.reader)
        nonce = await reader.transaction_count(lane, "latest")
    await acknowledge_lane(_ledger(config), config.chain.chain_id, lane, nonce)
    return nonce


async def reset(config: Config, breaker: str) -> bool:
    """Close a breaker; False where it was not open. Raises StorageError while it runs."""
    now_ns = SystemClock().now_ns()
    return await reset_breaker(_ledger(config), config.chain.chain_id, breaker, now_ns)


def _ledger(config: Config) -> Path:
    return Places(Path(config.keeper.data_dir)).ledger
