"""Every event and view of Derive v2 that we read: signatures, topics, selectors. Knows no table.

Topics and selectors are hashed from the signatures at import, so that a misprint cannot hide in a
constant; the tests hold them against the digests printed by the venue's own tools.
"""

from collections.abc import Mapping
from typing import Final

from eth_hash.auto import keccak


# Struct tuples as the ABI writes them, in getter order.
BASIS: Final = "(uint256,uint256,uint256,uint256)"
OTHER: Final = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
MARGIN: Final = OTHER
VOL_SHOCK: Final = "(uint256,uint256,int256,int256,uint256,uint256)"
SKEW: Final = "(uint256,uint256,int256,int256,int256,int256,int256,int256)"
COLLATERAL: Final = "(bool,bool,uint256,uint256)"
SCENARIO: Final = "(uint256,uint8,uint256)"
AUCTION_RULES: Final = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
FORWARD: Final = "(int96,uint64,uint64)"
SETTLEMENT: Final = "(uint256,uint256)"
VOL: Final = "(int256,uint256,int256,int256,uint256,uint256,uint64,uint64,uint64)"


def topic(signature: str) -> str:
    """Return topic0 of an event signature: "0x" and 64 hex digits."""
    return "0x" + keccak(signature.encode()).hex()


def selector(signature: str) -> str:
    """Return the selector of a function signature: "0x" and 8 hex digits."""
    return "0x" + keccak(signature.encode())[:4].hex()


EVENTS: Final[Mapping[str, str]] = {
    # SubAccounts
    "AccountCreated": "AccountCreated(address,uint256,address)",
    "BalanceAdjusted": "BalanceAdjusted(uint256,address,bytes32,int256,int256,int256,uint256)",
    "Transfer": "Transfer(address,address,uint256)",
    # CashAsset
    "InterestAccrued": "InterestAccrued(uint256,uint256,uint256,uint256,uint256)",
    "InterestAccruedOnAccount": "InterestAccruedOnAccount(uint256,int256,int256,uint256)",
    "SettledCashUpdated": "SettledCashUpdated(int256,int256)",
    "SmFeeSet": "SmFeeSet(uint256)",
    "InterestRateModelSet": "InterestRateModelSet(address)",
    "WithdrawFeeEnabled": "WithdrawFeeEnabled(uint256)",
    "WithdrawFeeDisabled": "WithdrawFeeDisabled(uint256)",
    # PerpAsset
    "PositionSettled": "PositionSettled(uint256,int256,int256,uint256)",
    "FundingAppliedOnAccount": "FundingAppliedOnAccount(uint256,int256,int256)",
    "PositionCleared": "PositionCleared(uint256)",
    "AggregatedFundingUpdated": "AggregatedFundingUpdated(int256,int256,uint256)",
    "RateBoundsUpdated": "RateBoundsUpdated(int256)",
    "StaticUnderlyingInterestRateUpdated": "StaticUnderlyingInterestRateUpdated(int256)",
    "ConvergencePeriodUpdated": "ConvergencePeriodUpdated(int256)",
    "Disabled": "Disabled(int256,int256)",
    "PerpFeedUpdated": "PerpFeedUpdated(address)",
    "ImpactFeedsUpdated": "ImpactFeedsUpdated(address,address)",
    # Feeds; SpotFeedUpdated also of perpetuals and managers
    "SpotFeedUpdated": "SpotFeedUpdated(address)",
    "SpotPriceUpdated": "SpotPriceUpdated(uint96,uint96,uint64)",
    "SpotDiffUpdated": "SpotDiffUpdated(int96,uint96,uint64)",
    "SpotDiffCapUpdated": "SpotDiffCapUpdated(uint256)",
    "SettlementHeartbeatUpdated": "SettlementHeartbeatUpdated(uint64)",
    "ForwardDataUpdated": f"ForwardDataUpdated(uint64,{FORWARD},{SETTLEMENT})",
    "VolDataUpdated": f"VolDataUpdated(uint64,{VOL})",
    "RateUpdated": "RateUpdated(uint64,int96,uint96,uint64)",
    "StaticSpotUpdated": "SpotUpdated(uint256,uint256)",
    "StaticDiffUpdated": "SpotDiffValueUpdated(uint256,uint256)",
    "StaticRateUpdated": "RateUpdated(int64,uint64)",
    # PMRM_2 and PMRM_2_1
    "ScenariosUpdated": f"ScenariosUpdated({SCENARIO}[])",
    "CollateralSpotFeedUpdated": "CollateralSpotFeedUpdated(address,address)",
    "StableFeedUpdated": "StableFeedUpdated(address)",
    "ForwardFeedUpdated": "ForwardFeedUpdated(address)",
    "VolFeedUpdated": "VolFeedUpdated(address)",
    "InterestRateFeedUpdated": "InterestRateFeedUpdated(address)",
    "LibOverrideUpdated": "LibOverrideUpdated(uint256,address)",
    "MaxAccountSizeUpdated": "MaxAccountSizeUpdated(uint256)",
    "MaxExpiriesUpdated": "MaxExpiriesUpdated(uint256)",
    "AdjustmentsPausedSet": "AdjustmentsPausedSet(bool)",
    # PMRMLib_2
    "BasisContingencyParamsUpdated": f"BasisContingencyParamsUpdated({BASIS})",
    "OtherContingencyParamsUpdated": f"OtherContingencyParamsUpdated({OTHER})",
    "MarginParamsUpdated": f"MarginParamsUpdated({MARGIN})",
    "VolShockParamsUpdated": f"VolShockParamsUpdated({VOL_SHOCK})",
    "SkewShockParamsUpdated": f"SkewShockParamsUpdated({SKEW})",
    "CollateralParametersUpdated": f"CollateralParametersUpdated(address,{COLLATERAL})",
    # DutchAuction
    "SolventAuctionStarted": "SolventAuctionStarted(uint256,uint256,int256,uint256)",
    "InsolventAuctionStarted": "InsolventAuctionStarted(uint256,uint256,int256)",
    "Bid": "Bid(uint256,uint256,uint256,uint256,uint256)",
    "AuctionEnded": "AuctionEnded(uint256,uint256)",
    "ScenarioIdUpdated": "ScenarioIdUpdated(uint256,uint256)",
    "AuctionParamsSet": f"AuctionParamsSet({AUCTION_RULES})",
    "MtmCutOffSet": "MtmCutOffSet(int256)",
    "ManagerWhitelisted": "ManagerWhitelisted(address,bool)",
    "SMAccountSet": "SMAccountSet(uint256)",
    # Whose word counts: proxies, owners, guardians, a timelock's queue (OpenZeppelin, Compound)
    "Upgraded": "Upgraded(address)",
    "BeaconUpgraded": "BeaconUpgraded(address)",
    "AdminChanged": "AdminChanged(address,address)",
    "OwnershipTransferred": "OwnershipTransferred(address,address)",
    "OwnershipTransferStarted": "OwnershipTransferStarted(address,address)",
    "GuardianUpdated": "GuardianUpdated(address)",
    "Paused": "Paused(address)",
    "Unpaused": "Unpaused(address)",
    "CallScheduled": "CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)",
    "QueueTransaction": "QueueTransaction(bytes32,address,uint256,string,bytes,uint256)",
}

TOPIC: Final[Mapping[str, str]] = {name: topic(text) for name, text in EVENTS.items()}

VIEWS: Final[Mapping[str, str]] = {
    text.partition("(")[0]: text
    for text in (
        # SubAccounts
        "lastAccountId()",
        "ownerOf(uint256)",
        "manager(uint256)",
        "getAccountBalances(uint256)",
        # CashAsset and its rate model
        "borrowIndex()",
        "supplyIndex()",
        "totalSupply()",
        "totalBorrow()",
        "netSettledCash()",
        "lastTimestamp()",
        "smFeePercentage()",
        "previousSmFeePercentage()",
        "temporaryWithdrawFeeEnabled()",
        "accountIdIndex(uint256)",
        "calculateBalanceWithInterest(uint256)",
        "rateModel()",
        "minRate()",
        "rateMultiplier()",
        "highRateMultiplier()",
        "optimalUtil()",
        # PerpAsset
        "positions(uint256)",
        "aggregatedFunding()",
        "lastFundingPaidAt()",
        "fundingConvergencePeriod()",
        "maxRatePerHour()",
        "minRatePerHour()",
        "staticInterestRate()",
        "isDisabled()",
        "frozenPerpPrice()",
        "perpFeed()",
        "impactAskPriceFeed()",
        "impactBidPriceFeed()",
        # Feeds
        "heartbeat()",
        "settlementHeartbeat()",
        "spotFeed()",
        "spotDiffCap()",
        "spotDiffDetails()",
        "getResult()",
        "getSpot()",
        "getInterestRate(uint64)",
        "getSettlementPrice(uint64)",
        # PMRM_2 and PMRM_2_1
        "option()",
        "perp()",
        "lib()",
        "stableFeed()",
        "forwardFeed()",
        "interestRateFeed()",
        "volFeed()",
        "collateralSpotFeeds(address)",
        "maxExpiries()",
        "maxAccountSize()",
        "adjustmentsPaused()",
        "getScenarios()",
        "getAccountLib(uint256)",
        "getMarginAndMtM(uint256,bool)",
        "guardian()",
        "owner()",
        # PMRMLib_2
        "getBasisContingencyParams()",
        "getOtherContingencyParams()",
        "getMarginParams()",
        "getVolShockParams()",
        "getSkewShockParams()",
        "getCollateralParameters(address)",
        # DutchAuction
        "getAuction(uint256)",
        "getAuctionParams()",
        "mtmCutoff()",
        "managerWhitelisted(address)",
        "smAccount()",
    )
}

SELECTOR: Final[Mapping[str, str]] = {name: selector(text) for name, text in VIEWS.items()}


def call(view: str, *words: int | str) -> str:
    """Return calldata of a view whose arguments are all one word: numbers or addresses."""
    numbers = (int(each, 16) if isinstance(each, str) else each for each in words)
    return SELECTOR[view] + "".join(f"{number:064x}" for number in numbers)
