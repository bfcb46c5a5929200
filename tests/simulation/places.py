"""Where the simulated venue's contracts stand, and the rules it begins with. Plain data.

Numbers in 18 decimals unless a name says seconds. Heartbeats and auctions are short, so that
quotes go stale, options expire and auctions end within a run of a few dozen blocks.
"""

from typing import Any, Final

from keeper.protocols.derive.wiring import DeriveConfig


WAD: Final = 10**18


def at(number: int) -> str:
    """Return a contract's address by its number."""
    return f"0x{number:040x}"


def wad(value: float) -> int:
    """Return a plain number in 18 decimals, rounded to nine."""
    return round(value * 10**9) * 10**9


SUB_ACCOUNTS, CASH, AUCTION, MANAGER = at(0xA1), at(0xA2), at(0xA3), at(0xA4)
OPTION, PERP, COIN, LIB, OTHER_LIB, RATE_MODEL = (at(0xB0 + n) for n in range(1, 7))
SPOT, STABLE, FORWARD, RATE, VOL, PERP_FEED, ASK, BID, COIN_FEED, SPARE = (
    at(0xC0 + n) for n in range(1, 11)
)
OTHER_MANAGER, STRANGER = at(0xD1), at(0xD2)
# The account of the key of 32 bytes of 7, which owns our bidders, and a lane that owns nothing.
KEEPER_OWNER = "0x4a62316623ad457f02cdc5d997ded67a383ec569"
LANE_OWNER = at(0xE2)
NOWHERE: Final = at(0)

CHAIN_ID: Final = 31_337
BLOCK_S: Final = 12
GENESIS_S: Final = 1_800_000_000
START_BLOCK: Final = 1_000
BIDDERS: Final = (90, 91, 92)
# One expires in the middle of a run, the other long after it.
SOON, LATER = GENESIS_S + 420, GENESIS_S + 30 * 86_400

# (kind, heartbeat, settlement heartbeat, seconds; the spot it is a difference to; cap)
FEEDS: Final[dict[str, tuple[str, int, int, str, int]]] = {
    SPOT: ("spot", 60, 0, NOWHERE, 0),
    STABLE: ("spot", 240, 0, NOWHERE, 0),
    SPARE: ("spot", 240, 0, NOWHERE, 0),
    COIN_FEED: ("spot", 90, 0, NOWHERE, 0),
    PERP_FEED: ("diff", 120, 0, SPOT, wad(0.06)),
    ASK: ("diff", 120, 0, SPOT, wad(0.06)),
    BID: ("diff", 120, 0, SPOT, wad(0.06)),
    FORWARD: ("forward", 150, 60, SPOT, 0),
    RATE: ("rate", 400, 0, NOWHERE, 0),
    VOL: ("vol", 200, 0, NOWHERE, 0),
}
RATES: Final = (wad(0.02), wad(0.08), wad(0.9), wad(0.85))  # minimum, slope, high slope, kink

# Groups of a lib's parameters, in getter order.
LIBS: Final[dict[str, tuple[int, ...]]] = {
    "basis": (wad(1.045), wad(0.955), wad(0.5), wad(2.0)),
    "other": tuple(map(wad, (0.99, 4.0, 0.55, 1.0, 0.03, 0.01, 0.003, 0.002))),
    "margin": tuple(map(wad, (1.0, 0.8, 0.0, 0.0, 0.16, 0.16, 1.05, 0.95))),
    "vol_shock": (wad(0.5), wad(0.3), wad(0.3), wad(0.13), 86_400, wad(0.4)),
    "skew": tuple(map(wad, (0.25, 0.25, -0.1, -0.1, 0.01, 4.0, 0.6, 0.0))),
}
SCENARIOS: Final = ((wad(1.15), 1, WAD), (WAD, 0, WAD), (wad(0.85), 1, WAD), (wad(0.85), 0, WAD))
# starting share, cutoff; seconds fast, slow, insolvent; fee, buffer, equity cutoff, account
AUCTION_RULES: Final = (wad(0.95), wad(0.7), 60, 120, 240, 0, wad(0.15), 0, 1)


def settings(**changes: Any) -> dict[str, Any]:
    """Return the venue's table of a configuration."""
    return {
        "sub_accounts": SUB_ACCOUNTS,
        "cash": CASH,
        "auction": AUCTION,
        "managers": [MANAGER],
        "start_block": 1,
        "underlyings": ["ETH"],
        "bidders": list(BIDDERS),
        "required_quotes": ["ETH.spot", "ETH.stable", "ETH.perp", "ETH.forward"],
        **changes,
    }


def derive_config() -> DeriveConfig:
    """Return the venue's configuration."""
    table = settings()
    return DeriveConfig(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    )
