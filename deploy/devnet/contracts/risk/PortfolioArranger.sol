// SPDX-License-Identifier: Apache-2.0
// From an account's balances and the feeds to a priced portfolio, and from there to its margin; the views.
// It must not change any balance.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {Ownable} from "solady/src/auth/Ownable.sol";
import {
    AssetBalance,
    IForwardFeed,
    IManager,
    IPerp,
    IRateFeed,
    ISpotFeed,
    ISubAccounts,
    IVolFeed
} from "../Interfaces.sol";
import {
    CollateralHoldings,
    ExpiryHoldings,
    IPMRMLib_2,
    Portfolio,
    Scenario,
    StrikeHolding,
    VolShockDirection
} from "./PMRMTypes.sol";

abstract contract PortfolioArranger is Ownable, IManager {
    error PMRM_2_UnsupportedAsset();
    error PMRM_2_TooManyExpiries();

    // One word a scenario: forty of them are read on every look at a margin.
    struct PackedScenario { uint112 spotShock; uint112 dampeningFactor; VolShockDirection volShock; }
    struct Feeds {
        ISpotFeed spotFeed;
        ISpotFeed stableFeed;
        IForwardFeed forwardFeed;
        IRateFeed interestRateFeed;
        IVolFeed volFeed;
    }
    // How many of what an account holds: a first pass, so that arrays are made once and to size.
    struct Census { uint256 expiries; uint256 collaterals; uint256[] expiry; uint256[] options; }

    ISubAccounts public immutable subAccounts;
    address public immutable cashAsset;
    address public immutable option;
    address public immutable perp;
    IPMRMLib_2 public immutable lib;

    ISpotFeed public spotFeed;
    ISpotFeed public stableFeed;
    IForwardFeed public forwardFeed;
    IRateFeed public interestRateFeed;
    IVolFeed public volFeed;
    uint256 public maxExpiries = 11;
    mapping(address => ISpotFeed) public collateralSpotFeeds;
    mapping(uint256 => IPMRMLib_2) internal _libOverride;
    PackedScenario[] internal _scenarios;

    constructor(
        ISubAccounts subAccounts_,
        address cash_,
        address option_,
        address perp_,
        IPMRMLib_2 lib_,
        Feeds memory feeds
    ) {
        subAccounts = subAccounts_;
        cashAsset = cash_;
        option = option_;
        perp = perp_;
        lib = lib_;
        spotFeed = feeds.spotFeed;
        stableFeed = feeds.stableFeed;
        forwardFeed = feeds.forwardFeed;
        interestRateFeed = feeds.interestRateFeed;
        volFeed = feeds.volFeed;
    }

    // ---------------------------------------------------------------------------------- views

    function getMargin(uint256 accountId, bool isInitial) external view returns (int256 margin) {
        (margin,,) = _margin(accountId, isInitial, getScenarios());
    }

    function getMarginAndMtM(uint256 accountId, bool isInitial)
        external
        view
        returns (int256 margin, int256 markToMarket, uint256 worstScenario)
    {
        return _margin(accountId, isInitial, getScenarios());
    }

    function getMarginAndMarkToMarket(uint256 accountId, bool isInitial, uint256 scenarioId)
        external
        view
        returns (int256 margin, int256 markToMarket)
    {
        Scenario[] memory only = new Scenario[](1);
        only[0] = _scenario(scenarioId);
        (margin, markToMarket,) = _margin(accountId, isInitial, only);
    }

    function getScenarioPnL(uint256 accountId, uint256 scenarioId) external view returns (int256) {
        return getAccountLib(accountId).getScenarioPnL(_arrange(accountId), _scenario(scenarioId));
    }

    function arrangePortfolio(uint256 accountId) external view returns (Portfolio memory) {
        return getAccountLib(accountId).addPrecomputes(_arrange(accountId));
    }

    function getScenarios() public view returns (Scenario[] memory scenarios) {
        scenarios = new Scenario[](_scenarios.length);
        for (uint256 i = 0; i < scenarios.length; ++i) scenarios[i] = _scenario(i);
    }

    function getAccountLib(uint256 accountId) public view returns (IPMRMLib_2) {
        IPMRMLib_2 chosen = _libOverride[accountId];
        return address(chosen) == address(0) ? lib : chosen;
    }

    function _margin(uint256 accountId, bool isInitial, Scenario[] memory scenarios)
        internal
        view
        returns (int256, int256, uint256)
    {
        return getAccountLib(accountId).getMarginAndMarkToMarket(_arrange(accountId), isInitial, scenarios);
    }

    function _scenario(uint256 scenarioId) private view returns (Scenario memory) {
        PackedScenario memory packed = _scenarios[scenarioId];
        return Scenario(packed.spotShock, packed.volShock, packed.dampeningFactor);
    }

    // ---------------------------------------------------------------------------- arrangement

    function _arrange(uint256 accountId) internal view returns (Portfolio memory portfolio) {
        AssetBalance[] memory held = subAccounts.getAccountBalances(accountId);
        Census memory census = _count(held);
        uint256 spotConfidence;
        (portfolio.spotPrice, spotConfidence) = spotFeed.getSpot();
        (portfolio.stablePrice,) = stableFeed.getSpot();
        portfolio.minConfidence = spotConfidence;
        portfolio.collaterals = new CollateralHoldings[](census.collaterals);
        _makeExpiries(portfolio, census);
        uint256 collaterals;
        for (uint256 i = 0; i < held.length; ++i) {
            address asset = held[i].asset;
            if (asset == option) {
                _addOption(portfolio, census, held[i]);
            } else if (asset == cashAsset) {
                portfolio.cash = held[i].balance;
            } else if (asset == perp) {
                _addPerp(portfolio, accountId, held[i].balance);
            } else {
                portfolio.collaterals[collaterals++] = _collateral(held[i], portfolio.stablePrice, spotConfidence);
            }
        }
        for (uint256 i = 0; i < portfolio.expiries.length; ++i) {
            _addFeeds(portfolio.expiries[i], portfolio.minConfidence);
        }
    }

    function _count(AssetBalance[] memory held) private view returns (Census memory census) {
        uint256 room = Fp.min(held.length, maxExpiries);
        census.expiry = new uint256[](room);
        census.options = new uint256[](room);
        for (uint256 i = 0; i < held.length; ++i) {
            address asset = held[i].asset;
            if (asset == option) {
                uint256 at = _find(census, uint32(held[i].subId));
                if (at == room) revert PMRM_2_TooManyExpiries();
                if (at == census.expiries) census.expiry[census.expiries++] = uint32(held[i].subId);
                ++census.options[at];
            } else if (asset != cashAsset && asset != perp) {
                ++census.collaterals;
            }
        }
    }

    function _find(Census memory census, uint256 expiry) private pure returns (uint256 at) {
        while (at < census.expiries && census.expiry[at] != expiry) ++at;
    }

    function _makeExpiries(Portfolio memory portfolio, Census memory census) private view {
        portfolio.expiries = new ExpiryHoldings[](census.expiries);
        for (uint256 i = 0; i < census.expiries; ++i) {
            ExpiryHoldings memory expiry = portfolio.expiries[i];
            expiry.expiry = census.expiry[i];
            expiry.secToExpiry = Fp.zeroFloorSub(expiry.expiry, block.timestamp);
            expiry.options = new StrikeHolding[](census.options[i]);
            // From here on it counts the options already placed.
            census.options[i] = 0;
        }
    }

    function _addOption(Portfolio memory portfolio, Census memory census, AssetBalance memory balance) private view {
        uint256 at = _find(census, uint32(balance.subId));
        ExpiryHoldings memory expiry = portfolio.expiries[at];
        StrikeHolding memory holding = expiry.options[census.options[at]++];
        // expiry | strike in 1e8 << 32 | isCall << 95
        holding.strike = uint256(uint64(balance.subId >> 32) & 0x7fffffffffffffff) * 1e10;
        holding.isCall = (balance.subId >> 95) & 1 == 1;
        holding.amount = balance.balance;
        (holding.vol, expiry.minConfidence) = volFeed.getVol(uint128(holding.strike), uint64(expiry.expiry));
        expiry.netOptions += Fp.abs(balance.balance);
    }

    // The vol feed's confidence is already in place; the perpetual's lowers every expiry's.
    function _addFeeds(ExpiryHoldings memory expiry, uint256 confidence) private view {
        uint64 timestamp = uint64(expiry.expiry);
        uint256 forwardConfidence;
        (expiry.forwardFixedPortion, expiry.forwardVariablePortion, forwardConfidence) =
            forwardFeed.getForwardPricePortions(timestamp);
        (int256 rate, uint256 rateConfidence) = interestRateFeed.getInterestRate(timestamp);
        expiry.rate = rate > 0 ? uint256(rate) : 0;
        confidence = Fp.min(Fp.min(confidence, expiry.minConfidence), Fp.min(forwardConfidence, rateConfidence));
        expiry.minConfidence = confidence;
    }

    function _addPerp(Portfolio memory portfolio, uint256 accountId, int256 balance) private view {
        uint256 confidence;
        portfolio.perpPosition = balance;
        (portfolio.perpPrice, confidence) = IPerp(perp).getPerpPrice();
        portfolio.perpValue = IPerp(perp).getUnsettledAndUnrealizedCash(accountId);
        portfolio.minConfidence = Fp.min(portfolio.minConfidence, confidence);
    }

    // Dollars to cash: the cash asset is worth what the stable coin is.
    function _collateral(AssetBalance memory balance, uint256 stablePrice, uint256 spotConfidence)
        private
        view
        returns (CollateralHoldings memory)
    {
        ISpotFeed feed = collateralSpotFeeds[balance.asset];
        if (address(feed) == address(0)) revert PMRM_2_UnsupportedAsset();
        (uint256 price, uint256 confidence) = feed.getSpot();
        uint256 value = Fp.divWad(Fp.mulWad(uint256(balance.balance), price), stablePrice);
        return CollateralHoldings(balance.asset, value, Fp.min(confidence, spotConfidence));
    }
}
