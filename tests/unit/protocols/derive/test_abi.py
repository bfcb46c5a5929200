"""Topics and selectors, hashed from our signatures, against those that the venue prints."""

import pytest

from keeper.protocols.derive.abi import SELECTOR, TOPIC, call


ADDRESS = "0x" + "0a" * 20

# As the venue's own tools print them, by their first bytes.
PRINTED = {
    "AccountCreated": "0x32b5641993c697cf",
    "BalanceAdjusted": "0x503ec09c1b4597d1",
    "InterestAccrued": "0x0c555edd240c83af",
    "InterestAccruedOnAccount": "0x4c6f28ecca3fd1aa",
    "SettledCashUpdated": "0x3f4767ec",
    "SmFeeSet": "0xa4ddfae0",
    "InterestRateModelSet": "0x7902cd13",
    "PositionSettled": "0x7e5a9d9978449518",
    "FundingAppliedOnAccount": "0xdf89a92e7e0a1932",
    "PositionCleared": "0x8d4d87da72ad046c",
    "AggregatedFundingUpdated": "0x0d4ee7b8859908fb",
    "RateBoundsUpdated": "0x9986213d",
    "StaticUnderlyingInterestRateUpdated": "0xba88b5c9",
    "ConvergencePeriodUpdated": "0xd8160c4e",
    "Disabled": "0xbf33bcd9",
    "SpotPriceUpdated": "0xbd86cbf2ccd8e501",
    "SpotDiffUpdated": "0x248fe0fb2a388472",
    "SpotDiffCapUpdated": "0x6e4e1063",
    "ForwardDataUpdated": "0x9f896aba44d86664",
    "VolDataUpdated": "0x0b6ec9c174360425",
    "RateUpdated": "0xf00d73eebf231f5b",
    "StaticRateUpdated": "0x203d3e59",
    "ScenariosUpdated": "0x3482100b",
    "CollateralSpotFeedUpdated": "0xdba366bb",
    "LibOverrideUpdated": "0x18cf9b0b",
    "BasisContingencyParamsUpdated": "0x245b48db",
    "OtherContingencyParamsUpdated": "0x878d248a",
    "MarginParamsUpdated": "0x7fc48aed",
    "VolShockParamsUpdated": "0x7a181c4e",
    "SkewShockParamsUpdated": "0x1c2f5728",
    "CollateralParametersUpdated": "0xf70803c1",
    "SolventAuctionStarted": "0x6a8ee22aeb805076",
    "InsolventAuctionStarted": "0x8239499f712e13a9",
    "Bid": "0xbbeb05aa3e17dae0",
    "AuctionEnded": "0xe536ac546f86787f",
    "ScenarioIdUpdated": "0xe388b334",
    "AuctionParamsSet": "0x9ad55cb0",
    "MtmCutOffSet": "0xaff23579",
    "ManagerWhitelisted": "0x57cffed8",
    # As every proxy, owned contract and timelock prints them.
    "Upgraded": "0xbc7cd75a",
    "BeaconUpgraded": "0x1cf3b03a",
    "AdminChanged": "0x7e644d79",
    "OwnershipTransferred": "0x8be0079c",
    "OwnershipTransferStarted": "0x38d16b8c",
    "Paused": "0x62e78cea",
    "Unpaused": "0x5db9ee0a",
    "CallScheduled": "0x4cf4410c",
    "QueueTransaction": "0x76e2796d",
}
PRINTED_SELECTORS = {
    "getAccountBalances": "0xc7569701",
    "manager": "0x52981457",
    "getScenarios": "0xc454b613",
    "getAccountLib": "0x15ef3caf",
    "getAuction": "0x78bd7935",
    "getAuctionParams": "0x036601ca",
    "mtmCutoff": "0x95d904b0",
    "managerWhitelisted": "0x9c7105d1",
    "smAccount": "0xcbfa398f",
    "lastAccountId": "0x708c3593",
    "ownerOf": "0x6352211e",
    "borrowIndex": "0xaa5af0fd",
    "supplyIndex": "0x98f1bc12",
    "totalSupply": "0x18160ddd",
    "totalBorrow": "0x8285ef40",
    "netSettledCash": "0x73a46ad0",
    "lastTimestamp": "0x19d8ac61",
    "smFeePercentage": "0xb7b7ced9",
    "previousSmFeePercentage": "0x9e20d588",
    "temporaryWithdrawFeeEnabled": "0x71ecebe8",
    "accountIdIndex": "0x1d4f2b6c",
    "rateModel": "0xa1088459",
    "minRate": "0x0cb60443",
    "rateMultiplier": "0x330691ac",
    "highRateMultiplier": "0x18b6d118",
    "optimalUtil": "0x0ecc448c",
    "positions": "0x99fbab88",
    "aggregatedFunding": "0x67adb3d4",
    "lastFundingPaidAt": "0x3586c9c7",
    "fundingConvergencePeriod": "0x31bf4bd1",
    "maxRatePerHour": "0xfbac0e31",
    "minRatePerHour": "0x2e0add09",
    "staticInterestRate": "0x031246fa",
    "isDisabled": "0x6c57f5a9",
    "frozenPerpPrice": "0x3827ade9",
    "spotFeed": "0xc8a2ba0a",
    "perpFeed": "0x4a034fd4",
    "impactAskPriceFeed": "0x7f4d9352",
    "impactBidPriceFeed": "0x2c5d127b",
    "heartbeat": "0x3defb962",
    "settlementHeartbeat": "0x0d178cc5",
    "spotDiffCap": "0x211ecced",
    "spotDiffDetails": "0xf8ff41bd",
    "getSpot": "0x2b37269c",
    "getResult": "0xde292789",
    "getInterestRate": "0xb0487ff6",
    "getSettlementPrice": "0xf395437d",
    "option": "0x010035af",
    "perp": "0xbfa4c00c",
    "lib": "0x92801230",
    "stableFeed": "0xf4d0508a",
    "forwardFeed": "0x555449ad",
    "interestRateFeed": "0x72fc6b83",
    "volFeed": "0x7ecbf012",
    "collateralSpotFeeds": "0xd40381c7",
    "maxExpiries": "0x7a6640ef",
    "maxAccountSize": "0xf1f8c61f",
    "adjustmentsPaused": "0xac06ba05",
    "getBasisContingencyParams": "0x8097d159",
    "getOtherContingencyParams": "0xf37b855f",
    "getMarginParams": "0x6ac4a038",
    "getVolShockParams": "0xe7aa5a01",
    "getSkewShockParams": "0xb01352a5",
    "getCollateralParameters": "0xe8b96662",
    "calculateBalanceWithInterest": "0x77df2e81",
    "getMarginAndMtM": "0x6b46ca2f",
    "guardian": "0x452a9320",
    "owner": "0x8da5cb5b",
}


@pytest.mark.parametrize("name", PRINTED)
def test_topics_are_those_the_venue_prints(name: str) -> None:
    assert TOPIC[name].startswith(PRINTED[name])


def test_every_view_is_one_the_venue_prints() -> None:
    assert dict(SELECTOR) == PRINTED_SELECTORS


def test_calldata_carries_numbers_and_addresses_as_words() -> None:
    assert call("heartbeat") == "0x3defb962"
    assert call("manager", 255) == "0x52981457" + f"{255:064x}"
    assert call("collateralSpotFeeds", ADDRESS) == "0xd40381c7" + "00" * 12 + "0a" * 20
