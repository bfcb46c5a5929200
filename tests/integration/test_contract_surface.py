"""Every selector, topic and error the specification prints, against the ABI of our contracts.

The numbers are typed from derive-v2.md §4, §5 and §7 and computed by nothing here: a keeper finds
the real venue by them. What the contracts do is tested elsewhere.
"""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from deploy.devnet.chain.artifacts import load
from deploy.devnet.chain.contract import Contract, signature, type_of


ZERO = "0x" + "00" * 20

FUNCTIONS = {
    "SubAccounts": """getAccountBalances c7569701 getBalance 0806e640 lastAccountTradeId d4d2a69f
        manager 52981457 lastAccountId 708c3593 ownerOf 6352211e createAccount 133572ba
        approve 095ea7b3 setApprovalForAll a22cb465 submitTransfer ad1f3ff8
        submitTransfers 58e106d5""",
    "CashAsset": """borrowIndex aa5af0fd supplyIndex 98f1bc12 totalSupply 18160ddd
        totalBorrow 8285ef40 netSettledCash 73a46ad0 lastTimestamp 19d8ac61
        smFeePercentage b7b7ced9 previousSmFeePercentage 9e20d588
        temporaryWithdrawFeeEnabled 71ecebe8 accountIdIndex 1d4f2b6c rateModel a1088459
        wrappedAsset d9a1836a calculateBalanceWithInterest 77df2e81 deposit e2bbb158
        depositToNewAccount 00cef2cd withdraw 0ad58d2f""",
    "InterestRateModel": """minRate 0cb60443 rateMultiplier 330691ac highRateMultiplier 18b6d118
        optimalUtil 0ecc448c""",
    "OptionAsset": "settlementFeed bb78c181 calcSettlementValue 3a420c75",
    "PerpAsset": """aggregatedFunding 67adb3d4 lastFundingPaidAt 3586c9c7
        fundingConvergencePeriod 31bf4bd1 maxRatePerHour fbac0e31 minRatePerHour 2e0add09
        staticInterestRate 031246fa isDisabled 6c57f5a9 frozenPerpPrice 3827ade9
        spotFeed c8a2ba0a perpFeed 4a034fd4 impactAskPriceFeed 7f4d9352
        impactBidPriceFeed 2c5d127b getPerpPrice 90f76b18 getFundingRate 95196f7e
        getUnsettledAndUnrealizedCash 7a4c2c3a positions 99fbab88""",
    "DutchAuction": """getAuction 78bd7935 getAuctionStatus 7765c52c getCurrentBidPrice 16925fb5
        getMaxProportion a0e35a0f getDiscountPercentage 6d39407c getMarginAndMarkToMarket dc2a5309
        getAuctionParams 036601ca isAuctionLive c9008b43 startAuction 4fee13fc bid 8af4952f
        terminateAuction 7e5e9625 convertToInsolventAuction a8fc0b05 updateScenarioId 7a28721e
        mtmCutoff 95d904b0 managerWhitelisted 9c7105d1 totalInsolventMM 513bb186
        securityModule 380ef3fe smAccount cbfa398f cash 961be391 getIsWithdrawBlocked 13c5592f""",
    "SecurityModule": "accountId 9cfd7cff",
    "LyraAuctionUtils": "getMM 4c0c79aa advancedBid 16238898 startInsolventAuction 375b9a03",
    "OracleDataSubmitter": "submitData b7ac763f",
}

# Whole topics where the specification prints them, else the part printed; count of indexed fields.
EVENTS = {
    "SubAccounts": """
        AccountCreated 32b5641993c697cfd9228343551f8959c18f92052f584f1f103ef0699cd221c8 3
        BalanceAdjusted 503ec09c1b4597d114eca849f7013c8c457988802d1dc5da49a0c461b5f88658 3
        Transfer ddf2 3""",
    "CashAsset": """
        InterestAccrued 0c555edd240c83afbec3de54997966f49c46cdd68be60532b8e804db03a51583 0
        InterestAccruedOnAccount
        4c6f28ecca3fd1aadb313f012e6c814d6ce094b43be19ea5f917db69d9a5c1e5 1
        SettledCashUpdated 3f4767ec 0 SmFeeSet a4ddfae0 0 InterestRateModelSet 7902cd13 0""",
    "PerpAsset": """
        PositionSettled 7e5a9d9978449518cb1845de381e80739ea46ea933dfca19ed2004ba5f85dd6b 1
        FundingAppliedOnAccount
        df89a92e7e0a193214590cde2f4030aab3f35a6d219e9ec1fec9fa3914afc3ee 0
        PositionCleared 8d4d87da72ad046cbbeb2f9189939a86f0cd45b5f45da184324b17a3cd2f1ac4 1
        AggregatedFundingUpdated
        0d4ee7b8859908fb4a69f14bcd8570ab107a8b82c2f6abb9de9f45a7c3404127 0
        RateBoundsUpdated 9986213d 0 StaticUnderlyingInterestRateUpdated ba88b5c9 0
        ConvergencePeriodUpdated d8160c4e 0 Disabled bf33bcd9 0""",
    "DutchAuction": """
        SolventAuctionStarted 6a8ee22aeb805076167f6cec99473fcaa9fbbd9e049c400588a50824d0b76f24 0
        InsolventAuctionStarted
        8239499f712e13a9114011de91651c2ff579baa98610e7a68360490edd313bef 0
        Bid bbeb05aa3e17dae006c9b4ad4e16e11dffb668c82de4de1f405cb1f647bc86c3 0
        AuctionEnded e536ac546f86787f3ea4069f79235c6b5a681e87d051300a3ed19a6ebb0db71c 0
        ScenarioIdUpdated e388b334 0 AuctionParamsSet 9ad55cb0 0 MtmCutOffSet aff23579 0
        ManagerWhitelisted 57cffed8 0""",
    "SecurityModule": "SecurityModulePaidOut 366c625c 0",
}

# Printed as signatures only.
EVENT_SIGNATURES = {
    "CashAsset": ("WithdrawFeeEnabled(uint256)", "WithdrawFeeDisabled(uint256)"),
    "PerpAsset": ("ImpactFeedsUpdated(address,address)",),
    "DutchAuction": ("SMAccountSet(uint256)",),
}

ERRORS = {
    "DutchAuction": """DA_AccountIsAboveMaintenanceMargin ae769b25 DA_AuctionAlreadyStarted d2422136
        DA_NotOngoingAuction df4fcb06 DA_AuctionNotStarted 01789e0e
        DA_AuctionShouldBeTerminated 2408a3ff DA_AuctionCannotTerminate 0898d5e6
        DA_SolventAuctionEnded 2a270402 DA_InvalidBidderPortfolio a9c6a434
        DA_InsufficientCash daee9cb6 DA_PriceLimitExceeded b60d8a9a DA_SenderNotOwner 1fd884ef
        DA_InvalidLastTradeId ecd1b794 DA_CannotBidWithDifferentManager 4cf3c8cf
        DA_NotWhitelistedManager 597430d3 DA_ScenarioIdNotWorse bb1d2a42
        DA_OngoingSolventAuction ef3f20b4 DA_ReservedCashGreaterThanMtM ad83b26f
        DA_InvalidPercentage 40ced071 DA_AuctionAlreadyInInsolvencyMode db08a255""",
    "CashAsset": "CA_WithdrawBlockedByOngoingAuction 93e8e9e4",
    "PerpAsset": "PA_InvalidImpactPrices 6a9fcd90",
    "LyraAuctionUtils": "LAU_NotOwner 45a4393b",
}

# What a view returns, where the specification gives its shape; one type stands for one value.
RETURNS = {
    ("SubAccounts", "getAccountBalances"): "(address,uint256,int256)[]",
    ("SubAccounts", "submitTransfer"): "uint256",
    ("CashAsset", "netSettledCash"): "int256",
    ("CashAsset", "calculateBalanceWithInterest"): "int256",
    ("OptionAsset", "calcSettlementValue"): "int256,bool",
    ("PerpAsset", "aggregatedFunding"): "int256",
    ("PerpAsset", "positions"): "uint256,int256,int256,int256,uint256",
    ("PerpAsset", "getPerpPrice"): "uint256,uint256",
    ("PerpAsset", "getFundingRate"): "int256",
    ("DutchAuction", "getAuction"): "(uint256,uint256,bool,bool,uint256,uint256,uint256)",
    ("DutchAuction", "getAuctionStatus"): "bool,int256,int256,int256",
    ("DutchAuction", "getMarginAndMarkToMarket"): "int256,int256,int256",
    ("DutchAuction", "getAuctionParams"): (
        "(uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
    ),
    ("DutchAuction", "bid"): "uint256,uint256,uint256",
    ("DutchAuction", "mtmCutoff"): "int256",
    ("LyraAuctionUtils", "getMM"): "address,int256,int256,uint256",
    ("LyraAuctionUtils", "advancedBid"): "uint256",
}


def pairs(table: dict[str, str]) -> list[tuple[str, str, str]]:
    rows = []
    for contract, text in table.items():
        words = text.split()
        rows += [(contract, *pair) for pair in zip(words[::2], words[1::2], strict=True)]
    return rows


def triples(table: dict[str, str]) -> list[tuple[str, str, str, int]]:
    rows = []
    for contract, text in table.items():
        words = text.split()
        for name, topic, indexed in zip(words[::3], words[1::3], words[2::3], strict=True):
            rows.append((contract, name, topic, int(indexed)))
    return rows


@pytest.mark.parametrize(("contract", "name", "selector"), pairs(FUNCTIONS))
def test_functions_have_the_printed_selectors(contract: str, name: str, selector: str) -> None:
    found = {sig.split("(")[0]: number for sig, number in load(contract).selectors.items()}
    assert found.get(name) == selector


@pytest.mark.parametrize(("contract", "name", "topic", "indexed"), triples(EVENTS))
def test_events_have_the_printed_topics_and_indexed_fields(
    contract: str, name: str, topic: str, indexed: int
) -> None:
    artifact = load(contract)
    assert Contract(ZERO, artifact).topics[name].startswith("0x" + topic)
    entry = next(e for e in artifact.abi if e["type"] == "event" and e["name"] == name)
    flags = [each["indexed"] for each in entry["inputs"]]
    assert flags == [True] * indexed + [False] * (len(flags) - indexed)


@pytest.mark.parametrize("contract", sorted(EVENT_SIGNATURES))
def test_events_printed_as_signatures_exist(contract: str) -> None:
    declared = {signature(e) for e in load(contract).abi if e["type"] == "event"}
    assert declared.issuperset(EVENT_SIGNATURES[contract])


@pytest.mark.parametrize(("contract", "name", "selector"), pairs(ERRORS))
def test_errors_have_the_printed_selectors(contract: str, name: str, selector: str) -> None:
    assert Contract(ZERO, load(contract)).errors.get("0x" + selector) == name
    assert keccak(text=f"{name}()")[:4].hex() == selector


@pytest.mark.parametrize(("contract", "name"), sorted(RETURNS))
def test_views_return_the_printed_shapes(contract: str, name: str) -> None:
    entry = next(e for e in load(contract).abi if e["type"] == "function" and e["name"] == name)
    assert ",".join(type_of(each) for each in entry["outputs"]) == RETURNS[contract, name]
