"""Proposals into calldata, their gas, and revert data into a classified word.

Calldata is laid out by hand: every argument is one 32-byte word, but for the signed data that a
bid through the helper may bring. Must not know the tables, nor whether a call is a good idea.
"""

from typing import Final

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD, AccountId, Address, to_wad
from keeper.liquidation.strategy import Service


START: Final = "4fee13fc"
BID: Final = "8af4952f"
ADVANCED_BID: Final = "16238898"
TERMINATE: Final = "7e5e9625"
CONVERT: Final = "a8fc0b05"
UPDATE_SCENARIO: Final = "7a28721e"
SETTLE_OPTIONS: Final = "31a7e4d9"
SUBMIT_DATA: Final = "b7ac763f"  # of the data submitter: abi.encode((feed, data)[])
ACCEPT_DATA: Final = "6f13e0ac"  # of one feed

# Fixed gas and gas for each position, measured on the venue's contracts (31 scenarios); a bid
# looks at the whole book three times and moves every balance of it.
MEASURED: Final[dict[Service, tuple[int, int]]] = {
    Service.START: (600_000, 80_000),
    Service.BID: (800_000, 240_000),
    Service.TERMINATE: (250_000, 65_000),
    Service.CONVERT: (370_000, 65_000),
    Service.UPDATE_SCENARIO: (300_000, 130_000),
    Service.SETTLE_OPTIONS: (254_000, 90_000),
}
HELPER_GAS: Final = 500_000  # a fresh account, the cash into it, and the account handed over

# Every error of the venue without arguments that a transaction of ours can meet, by selector.
REASONS: Final[dict[str, str]] = {
    "ae769b25": "DA_AccountIsAboveMaintenanceMargin",
    "d2422136": "DA_AuctionAlreadyStarted",
    "df4fcb06": "DA_NotOngoingAuction",
    "01789e0e": "DA_AuctionNotStarted",
    "2408a3ff": "DA_AuctionShouldBeTerminated",
    "0898d5e6": "DA_AuctionCannotTerminate",
    "2a270402": "DA_SolventAuctionEnded",
    "a9c6a434": "DA_InvalidBidderPortfolio",
    "daee9cb6": "DA_InsufficientCash",
    "b60d8a9a": "DA_PriceLimitExceeded",
    "1fd884ef": "DA_SenderNotOwner",
    "ecd1b794": "DA_InvalidLastTradeId",
    "4cf3c8cf": "DA_CannotBidWithDifferentManager",
    "597430d3": "DA_NotWhitelistedManager",
    "bb1d2a42": "DA_ScenarioIdNotWorse",
    "ef3f20b4": "DA_OngoingSolventAuction",
    "ad83b26f": "DA_ReservedCashGreaterThanMtM",
    "40ced071": "DA_InvalidPercentage",
    "db08a255": "DA_AuctionAlreadyInInsolvencyMode",
    "159958a4": "PMRM_2_InsufficientMargin",
    "61e8f714": "PMRM_2_UnsupportedAsset",
    "2f573084": "PMRM_2_TooManyAssets",
    "d6b2652e": "PMRM_2_TooManyExpiries",
    "83d3980b": "BM_AdjustmentsPaused",
    "c67c6584": "BM_UnauthorizedCall",
    "8102bcdc": "BM_AssetCapExceeded",
    "72d35b56": "BM_AccountUnderLiquidation",
    "1141796d": "BLF_DataTooOld",
    "32d5dc79": "BLF_DataExpired",
    "0b06986d": "BLF_InvalidTimestamp",
    "047fcc17": "BLF_InvalidConfidence",
    "4d4e20e2": "BLF_InvalidSigner",
    "1607767a": "BLF_InvalidSignature",
    "0dbbaf6f": "BLF_InvalidSignatureLength",
    "575d51de": "BLF_NotEnoughSigners",
    "9d600198": "BLF_DuplicatedSigner",
    "9d64e9e2": "LSF_InvalidPrice",
    "3f76043f": "LFF_InvalidFwdDataTimestamp",
    "9c24e403": "LFF_InvalidSettlementData",
    "133333e1": "LVF_InvalidVolDataTimestamp",
    "86823cdc": "LFF_MissingExpiryData",
    "7cda43cb": "LFF_SettlementDataTooOld",
    "36273890": "LVF_MissingExpiryData",
    "6a9fcd90": "PA_InvalidImpactPrices",
    "93e8e9e4": "CA_WithdrawBlockedByOngoingAuction",
    "95fb3184": "PMRML2_CollateralDisabled",
    "45a4393b": "LAU_NotOwner",
    "35278d12": "Overflow",
}
# What a feed says of data it will not take: they are to blame, not the account they came for.
DATA_FAULTS: Final = (
    "BLF_DataExpired",
    "BLF_InvalidTimestamp",
    "BLF_InvalidConfidence",
    "BLF_InvalidSigner",
    "BLF_InvalidSignature",
    "BLF_InvalidSignatureLength",
    "BLF_NotEnoughSigners",
    "BLF_DuplicatedSigner",
    "LSF_InvalidPrice",
    "LFF_InvalidFwdDataTimestamp",
    "LFF_InvalidSettlementData",
    "LVF_InvalidVolDataTimestamp",
    "BM_UnauthorizedCall",
)
# What some of them mean for us: somebody had served the account, it stood again, or a bid was no
# longer worth its price. Everything else is what it is, a revert.
MEANINGS: Final[dict[str, str]] = {
    "DA_AccountIsAboveMaintenanceMargin": "healed",
    "DA_AuctionShouldBeTerminated": "healed",
    "DA_AuctionAlreadyStarted": "lost_race",
    "DA_AuctionNotStarted": "lost_race",
    "DA_NotOngoingAuction": "lost_race",
    "DA_AuctionAlreadyInInsolvencyMode": "lost_race",
    "DA_ScenarioIdNotWorse": "lost_race",
    "DA_InvalidLastTradeId": "lost_race",
    "DA_SolventAuctionEnded": "expired",
    "DA_PriceLimitExceeded": "unprofitable",
}
ERROR_STRING: Final = "08c379a0"
PANIC: Final = "4e487b71"


def start_auction(auction: Address, account: AccountId, scenario: int) -> Call:
    """Return the call that starts an auction under one scenario's index."""
    return _call(auction, START, account, scenario)


def terminate_auction(auction: Address, account: AccountId) -> Call:
    """Return the call that ends an auction of an account that has healed."""
    return _call(auction, TERMINATE, account)


def convert_auction(auction: Address, account: AccountId) -> Call:
    """Return the call that turns a solvent auction nobody wanted into an insolvent one."""
    return _call(auction, CONVERT, account)


def update_scenario(auction: Address, account: AccountId, scenario: int) -> Call:
    """Return the call that hands a strictly worse scenario to a live auction."""
    return _call(auction, UPDATE_SCENARIO, account, scenario)


def settle_options(manager: Address, option: Address, account: AccountId) -> Call:
    """Return the call that settles an account's expired options into cash."""
    return _call(manager, SETTLE_OPTIONS, int(option, 16), account)


def bid(
    auction: Address, account: AccountId, bidder: AccountId, fraction_wad: int, limit_wad: int
) -> Call:
    """Return a bid by an own account; the last trade id is not pinned, anyone can move it."""
    return _call(auction, BID, account, bidder, _share(fraction_wad), limit_wad, 0)


def advanced_bid(  # one word an argument of the contract's
    helper: Address,
    scenario: int,
    account: AccountId,
    bidder: AccountId,
    fraction_wad: int,
    limit_wad: int,
    cash_wad: int,
) -> Call:
    """Return a bid through the helper: `cash_wad` of the bidder's moves into a fresh account.

    The slice stays in the fresh account, which becomes the sender's: merging it back would need
    the bidder's own book to carry it.
    """
    share = _share(fraction_wad)
    words = (scenario, account, bidder, share, limit_wad, 0, cash_wad, 0, 9 * 32, 0)
    return _call(helper, ADVANCED_BID, *words)


def with_manager_data(call: Call, data: bytes) -> Call:
    """Return a bid through the helper that also posts feed data: with its cash, before it bids.

    That is after any start, so data do not help to start.
    """
    padded = (data + bytes(-len(data) % 32)).hex()
    return Call(call.to, call.data[:-64] + _word(len(data)) + padded)


def fraction_wad(fraction: float) -> int:
    """Return a fraction as the chain counts it; raises InvariantViolation outside (0, 1]."""
    return _share(min(to_wad(fraction), WAD) if fraction <= 1.0 else 0)


def limit_wad(limit_usd: float) -> int:
    """Return a price limit, never 0, which the chain would read as no limit at all."""
    return to_wad(limit_usd) or 1


def gas_limit(service: Service, positions: int, *, through_helper: bool = False) -> int:
    """Return a gas limit for a service on a book of `positions`, half as much again as measured."""
    fixed, each = MEASURED[service]
    return (fixed + each * positions + (HELPER_GAS if through_helper else 0)) * 3 // 2


def reason(data: str) -> str:
    """Return the word for revert data: the venue's error, Error, Panic_0x.., empty or unknown."""
    body = data.removeprefix("0x")
    if not body:
        return "empty"
    selector = body[:8].lower()
    if selector == ERROR_STRING:
        return "Error"
    if selector == PANIC and len(body) == 8 + 64:
        return f"Panic_0x{int(body[8:], 16):02x}"
    return REASONS.get(selector, "unknown")


def _share(share: int) -> int:
    if not 0 < share <= WAD:
        raise InvariantViolation(f"a bid for {share} of {WAD} parts of an account")
    return share


def _call(to: Address, selector: str, *words: int) -> Call:
    return Call(to, "0x" + selector + "".join(_word(value) for value in words))


def _word(value: int) -> str:
    """Return an integer as one word, two's complement where it is negative."""
    if not -(2**255) <= value < 2**256:
        raise InvariantViolation(f"{value} does not fit a word")
    return f"{value % 2**256:064x}"
