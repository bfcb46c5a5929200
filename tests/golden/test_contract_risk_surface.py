"""Selectors, event topics and error selectors of the risk contracts and feeds, as the venue's ABI.

The numbers are those that were printed from the real contracts' ABIs, so a name or a struct order
that drifts is found here and not by a keeper that cannot read our events.
"""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from deploy.devnet.chain.artifacts import Artifact, load
from deploy.devnet.chain.contract import signature, type_of


pytestmark = pytest.mark.node

FEEDS = ("LyraSpotFeed", "LyraSpotDiffFeed", "LyraForwardFeed", "LyraVolFeed", "LyraRateFeed")
CODE_BYTES_MAX = 24_576

SELECTORS = {
    "PMRM_2_1": {
        "getMargin": "623bb445",
        "getMarginAndMarkToMarket": "6691bc04",
        "getMarginAndMtM": "6b46ca2f",
        "getScenarioPnL": "0ae997f5",
        "arrangePortfolio": "61a9d4b8",
        "getScenarios": "c454b613",
        "getAccountLib": "15ef3caf",
        "option": "010035af",
        "perp": "bfa4c00c",
        "cashAsset": "5cd93cf3",
        "lib": "92801230",
        "viewer": "f30878c1",
        "liquidation": "f2dfbf66",
        "spotFeed": "c8a2ba0a",
        "stableFeed": "f4d0508a",
        "forwardFeed": "555449ad",
        "interestRateFeed": "72fc6b83",
        "volFeed": "7ecbf012",
        "collateralSpotFeeds": "d40381c7",
        "maxExpiries": "7a6640ef",
        "maxAccountSize": "f1f8c61f",
        "adjustmentsPaused": "ac06ba05",
        "settleInterest": "d901b19a",
        "settlePerpsWithIndex": "5d935799",
        "settleOptions": "31a7e4d9",
    },
    "PMRMLib_2": {
        "getBasisContingencyParams": "8097d159",
        "getOtherContingencyParams": "f37b855f",
        "getMarginParams": "6ac4a038",
        "getVolShockParams": "e7aa5a01",
        "getSkewShockParams": "b01352a5",
        "getCollateralParameters": "e8b96662",
    },
    "LyraSpotFeed": {"getSpot": "2b37269c"},
    "LyraSpotDiffFeed": {
        "getResult": "de292789",
        "spotFeed": "c8a2ba0a",
        "spotDiffCap": "211ecced",
        "spotDiffDetails": "f8ff41bd",
    },
    "LyraForwardFeed": {
        "spotFeed": "c8a2ba0a",
        "settlementHeartbeat": "0d178cc5",
        "getForwardPrice": "b34f2e36",
        "getForwardPricePortions": "80f1d266",
        "getSettlementPrice": "f395437d",
    },
    "LyraVolFeed": {"getVol": "96159550"},
    "LyraRateFeed": {"getInterestRate": "b0487ff6"},
    "OracleDataSubmitter": {"submitData": "b7ac763f"},
}

# First bytes of topic0, as many as are known.
TOPICS = {
    "PMRM_2_1": {
        "ScenariosUpdated": "3482100b",
        "CollateralSpotFeedUpdated": "dba366bb",
        "LibOverrideUpdated": "18cf9b0b",
        "PerpSettled": "c599cf71",
        "OptionSettled": "d20a68b2",
    },
    "PMRMLib_2": {
        "BasisContingencyParamsUpdated": "245b48db",
        "OtherContingencyParamsUpdated": "878d248a",
        "MarginParamsUpdated": "7fc48aed",
        "VolShockParamsUpdated": "7a181c4e",
        "SkewShockParamsUpdated": "1c2f5728",
        "CollateralParametersUpdated": "f70803c1",
    },
    "LyraSpotFeed": {
        "SpotPriceUpdated": "bd86cbf2ccd8e501428ca22429126186e6ed6c5287f2be73152c58bae94f4183"
    },
    "LyraSpotDiffFeed": {
        "SpotDiffUpdated": "248fe0fb2a38847211f28b18cd0417aa0a9b2259a16e92e793ba97887eb5d951",
        "SpotDiffCapUpdated": "6e4e1063",
    },
    "LyraForwardFeed": {
        "ForwardDataUpdated": "9f896aba44d86664403ab1344cde140b477c830d6ceda60ae36c1e7132fd2686"
    },
    "LyraVolFeed": {
        "VolDataUpdated": "0b6ec9c174360425894fd5ff56d14f3450d70f2c9cde3a25983d652a72b84606"
    },
    "LyraRateFeed": {
        "RateUpdated": "f00d73eebf231f5bfbe60b1882b53b782160a5c8c38e1f1cb26470fdde355768"
    },
    "StaticRateFeed": {"RateUpdated": "203d3e59"},
}

# Events whose signature is known by its text alone.
SIGNATURES = {
    "PMRM_2_1": (
        "SpotFeedUpdated(address)",
        "StableFeedUpdated(address)",
        "ForwardFeedUpdated(address)",
        "VolFeedUpdated(address)",
        "InterestRateFeedUpdated(address)",
        "MaxAccountSizeUpdated(uint256)",
        "MaxExpiriesUpdated(uint256)",
        "AdjustmentsPausedSet(bool)",
    ),
    "StaticSpotFeed": ("SpotUpdated(uint256,uint256)",),
    "StaticSpotDiffFeed": ("SpotDiffValueUpdated(uint256,uint256)",),
}

INDEXED = {
    ("PMRM_2_1", "LibOverrideUpdated"): ["accountId"],
    ("PMRM_2_1", "PerpSettled"): ["accountId"],
    ("PMRM_2_1", "OptionSettled"): ["accountId"],
    ("LyraForwardFeed", "ForwardDataUpdated"): ["expiry"],
    ("LyraVolFeed", "VolDataUpdated"): ["expiry"],
    ("LyraRateFeed", "RateUpdated"): ["expiry"],
    ("LyraSpotFeed", "SpotPriceUpdated"): [],
    ("LyraSpotDiffFeed", "SpotDiffUpdated"): [],
}

ERRORS = {
    "PMRM_2_1": {
        "PMRM_2_InsufficientMargin": "159958a4",
        "PMRM_2_UnsupportedAsset": "61e8f714",
        "PMRM_2_TooManyAssets": "2f573084",
        "PMRM_2_TooManyExpiries": "d6b2652e",
        "BM_AdjustmentsPaused": "83d3980b",
        "BM_UnauthorizedCall": "c67c6584",
        "BM_AccountUnderLiquidation": "72d35b56",
    },
    "PMRMLib_2": {"PMRML2_CollateralDisabled": "95fb3184", "Overflow": "35278d12"},
    "LyraForwardFeed": {
        "LFF_MissingExpiryData": "86823cdc",
        "LFF_SettlementDataTooOld": "7cda43cb",
    },
    "LyraVolFeed": {"LVF_MissingExpiryData": "36273890"},
    **{feed: {"BLF_DataTooOld": "1141796d"} for feed in ("LyraSpotFeed", "LyraSpotDiffFeed")},
}


UINT, INT = "uint256", "int256"
OPTION = f"({UINT},{UINT},{INT},bool,bool)"
EXPIRY = ",".join(
    (
        UINT,
        UINT,
        f"{OPTION}[]",
        UINT,
        UINT,
        UINT,
        "uint64",
        UINT,
        UINT,
        INT,
        INT,
        INT,
        UINT,
        UINT,
        UINT,
        UINT,
    )
)
COLLATERAL = f"(address,{UINT},{UINT})"
PORTFOLIO = ",".join(
    (
        UINT,
        UINT,
        UINT,
        INT,
        f"({EXPIRY})[]",
        f"{COLLATERAL}[]",
        INT,
        INT,
        INT,
        UINT,
        UINT,
        UINT,
        INT,
    ),
)

# What views return; the order of a struct cannot be told from a selector.
RETURNS = {
    ("PMRM_2_1", "arrangePortfolio"): f"({PORTFOLIO})",
    ("PMRM_2_1", "getMarginAndMtM"): f"{INT},{INT},{UINT}",
    ("PMRM_2_1", "getMarginAndMarkToMarket"): f"{INT},{INT}",
    ("PMRM_2_1", "getScenarios"): f"({UINT},uint8,{UINT})[]",
    ("PMRMLib_2", "getBasisContingencyParams"): f"({UINT},{UINT},{UINT},{UINT})",
    ("PMRMLib_2", "getOtherContingencyParams"): f"({','.join([UINT] * 8)})",
    ("PMRMLib_2", "getMarginParams"): f"({','.join([UINT] * 8)})",
    ("PMRMLib_2", "getVolShockParams"): f"({UINT},{UINT},{INT},{INT},{UINT},{UINT})",
    ("PMRMLib_2", "getSkewShockParams"): f"({UINT},{UINT},{','.join([INT] * 6)})",
    ("PMRMLib_2", "getCollateralParameters"): f"(bool,bool,{UINT},{UINT})",
    ("LyraSpotDiffFeed", "spotDiffDetails"): "int96,uint64,uint64",
    ("LyraSpotDiffFeed", "spotDiffCap"): INT,
    ("LyraForwardFeed", "getForwardPricePortions"): f"{UINT},{UINT},{UINT}",
    ("LyraForwardFeed", "getSettlementPrice"): f"bool,{UINT}",
    ("LyraSpotFeed", "heartbeat"): "uint64",
}


def hashes(artifact: Artifact, kind: str) -> dict[str, str]:
    """Name → hash of the signature of every entry of one kind, in hex."""
    entries = (entry for entry in artifact.abi if entry["type"] == kind)
    return {entry["name"]: keccak(text=signature(entry)).hex() for entry in entries}


def selectors(artifact: Artifact) -> dict[str, str]:
    """Function name → selector, in hex."""
    return {name.split("(")[0]: value for name, value in artifact.selectors.items()}


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_function_selectors_are_the_venues(name: str) -> None:
    found = selectors(load(name))
    assert {each: found.get(each) for each in SELECTORS[name]} == SELECTORS[name]


@pytest.mark.parametrize("name", FEEDS)
def test_every_feed_takes_data_and_shows_its_heartbeat(name: str) -> None:
    found = selectors(load(name))
    assert (found["heartbeat"], found["acceptData"]) == ("3defb962", "6f13e0ac")


@pytest.mark.parametrize(("name", "view"), sorted(RETURNS))
def test_views_return_the_venues_shapes(name: str, view: str) -> None:
    entry = next(e for e in load(name).abi if e["type"] == "function" and e["name"] == view)
    assert ",".join(type_of(each) for each in entry["outputs"]) == RETURNS[name, view]


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_event_topics_are_the_venues(name: str) -> None:
    found, wanted = hashes(load(name), "event"), TOPICS[name]
    assert {each: found[each][: len(wanted[each])] for each in wanted} == wanted


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_event_signatures_are_the_venues(name: str) -> None:
    events = (entry for entry in load(name).abi if entry["type"] == "event")
    assert set(SIGNATURES[name]) <= {signature(entry) for entry in events}


@pytest.mark.parametrize(("name", "event"), sorted(INDEXED))
def test_event_arguments_are_indexed_as_the_venues(name: str, event: str) -> None:
    entry = next(e for e in load(name).abi if e["type"] == "event" and e["name"] == event)
    assert [each["name"] for each in entry["inputs"] if each["indexed"]] == INDEXED[name, event]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_error_selectors_are_the_venues(name: str) -> None:
    found = {each: value[:8] for each, value in hashes(load(name), "error").items()}
    assert {each: found.get(each) for each in ERRORS[name]} == ERRORS[name]


@pytest.mark.parametrize("name", ["PMRM_2_1", "PMRMLib_2", *FEEDS])
def test_code_fits_a_real_chain(name: str) -> None:
    assert len(load(name).deployed_bytecode) // 2 <= CODE_BYTES_MAX


@pytest.mark.parametrize("name", ["LyraSpotFeed", "LyraForwardFeed", "LyraVolFeed", "LyraRateFeed"])
def test_details_of_a_feed_are_private(name: str) -> None:
    assert not [each for each in load(name).selectors if "etail" in each]
