// SPDX-License-Identifier: Apache-2.0
// A perpetual: profit against the mark and hourly funding, both kept per account until settled to cash.
// It must not know cash or margin; the manager moves what it hands over.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {SafeCastLib as Cast} from "solady/src/utils/SafeCastLib.sol";
import {IAsset, IPerp, ISpotFeed, ISpotDiffFeed} from "../Interfaces.sol";
import {ManagerWhitelist} from "./ManagerWhitelist.sol";

contract PerpAsset is ManagerWhitelist, IAsset, IPerp {
    event PositionSettled(uint256 indexed account, int256 pnlChange, int256 totalPnl, uint256 perpPrice);
    event PositionCleared(uint256 indexed account);
    event FundingAppliedOnAccount(uint256 accountId, int256 funding, int256 aggregatedFunding);
    event AggregatedFundingUpdated(int256 aggregatedFunding, int256 rate, uint256 paidAt);
    event RateBoundsUpdated(int256 maxAbsRatePerHour);
    event StaticUnderlyingInterestRateUpdated(int256 rate);
    event ConvergencePeriodUpdated(int256 period);
    event Disabled(int256 perpPrice, int256 aggregatedFunding);
    event SpotFeedUpdated(address spotFeed);
    event PerpFeedUpdated(address perpFeed);
    event ImpactFeedsUpdated(address askFeed, address bidFeed);

    error PA_InvalidImpactPrices();
    error PA_InvalidRateBounds();
    error PA_InvalidConvergencePeriod();
    error PA_InvalidSubId();

    // Two words a position: a seeded book writes only the first.
    struct Stored { uint128 lastMarkPrice; int128 lastAggregatedFunding; int128 funding; int128 pnl; }

    mapping(uint256 => Stored) internal _positions;
    int256 public aggregatedFunding;
    uint256 public lastFundingPaidAt;
    int256 public fundingConvergencePeriod = 8e18;
    int256 public maxRatePerHour;
    int256 public minRatePerHour;
    int256 public staticInterestRate;
    bool public isDisabled;
    uint256 public frozenPerpPrice;
    ISpotFeed public spotFeed;
    ISpotDiffFeed public perpFeed;
    ISpotDiffFeed public impactAskPriceFeed;
    ISpotDiffFeed public impactBidPriceFeed;

    constructor(address subAccounts_) ManagerWhitelist(subAccounts_) { lastFundingPaidAt = block.timestamp; }

    // ---------------------------------------------------------------------------------- owner

    function setSpotFeed(address feed) external onlyOwner {
        spotFeed = ISpotFeed(feed);
        emit SpotFeedUpdated(feed);
    }

    function setPerpFeed(address feed) external onlyOwner {
        perpFeed = ISpotDiffFeed(feed);
        emit PerpFeedUpdated(feed);
    }

    function setImpactFeeds(address askFeed, address bidFeed) external onlyOwner {
        impactAskPriceFeed = ISpotDiffFeed(askFeed);
        impactBidPriceFeed = ISpotDiffFeed(bidFeed);
        emit ImpactFeedsUpdated(askFeed, bidFeed);
    }

    function setRateBounds(int256 maxAbsRatePerHour) external onlyOwner {
        if (maxAbsRatePerHour < 0) revert PA_InvalidRateBounds();
        _updateFunding();
        maxRatePerHour = maxAbsRatePerHour;
        minRatePerHour = -maxAbsRatePerHour;
        emit RateBoundsUpdated(maxAbsRatePerHour);
    }

    function setStaticInterestRate(int256 rate) external onlyOwner {
        _updateFunding();
        staticInterestRate = rate;
        emit StaticUnderlyingInterestRateUpdated(rate);
    }

    // Hours, 18 decimals.
    function setConvergencePeriod(int256 period) external onlyOwner {
        if (period <= 0) revert PA_InvalidConvergencePeriod();
        _updateFunding();
        fundingConvergencePeriod = period;
        emit ConvergencePeriodUpdated(period);
    }

    // Stop the contract for good: the price stays where it is and no more funding is charged.
    function disable() external onlyOwner {
        _updateFunding();
        (frozenPerpPrice,) = perpFeed.getResult();
        isDisabled = true;
        emit Disabled(int256(frozenPerpPrice), aggregatedFunding);
    }

    // -------------------------------------------------------------------------- SubAccounts' hook

    function handleAdjustment(uint256 accountId, uint256 subId, int256 amount, int256 preBalance, address manager)
        external
        onlySubAccounts
        returns (int256 finalBalance, bool needAllowance)
    {
        _checkManager(manager);
        if (subId != 0) revert PA_InvalidSubId();
        _realize(accountId, preBalance);
        // Either side of a perpetual can lose, so both owners must agree.
        return (preBalance + amount, true);
    }

    // ------------------------------------------------------------------------ profit and funding

    function realizeAccountPNL(uint256 accountId) external {
        _realize(accountId, subAccounts.getBalance(accountId, address(this), 0));
    }

    function settleRealizedPNLAndFunding(uint256 accountId) external returns (int256 pnl, int256 funding) {
        if (msg.sender != subAccounts.manager(accountId)) revert MW_OnlyAccountManager();
        Stored storage position = _positions[accountId];
        (uint256 price,) = getPerpPrice();
        bool current = position.lastMarkPrice == price && lastFundingPaidAt == block.timestamp
            && position.lastAggregatedFunding == aggregatedFunding;
        if (!current) _realize(accountId, subAccounts.getBalance(accountId, address(this), 0));
        pnl = position.pnl;
        funding = position.funding;
        position.pnl = 0;
        position.funding = 0;
        emit PositionCleared(accountId);
    }

    // The order of the three events is part of the surface: a fold applies them as they come.
    function _realize(uint256 accountId, int256 size) internal {
        Stored storage position = _positions[accountId];
        (uint256 price,) = getPerpPrice();
        int256 pnlChange = _unrealizedPnl(position, size, price);
        int256 totalPnl = position.pnl + pnlChange;
        if (pnlChange != 0) position.pnl = Cast.toInt128(totalPnl);
        position.lastMarkPrice = Cast.toUint128(price);
        emit PositionSettled(accountId, pnlChange, totalPnl, price);

        _updateFunding();
        int256 aggregated = aggregatedFunding;
        int256 funding = _unrealizedFunding(position, size, aggregated);
        if (funding != 0) position.funding += Cast.toInt128(funding);
        position.lastAggregatedFunding = Cast.toInt128(aggregated);
        emit FundingAppliedOnAccount(accountId, funding, aggregated);
    }

    function _updateFunding() internal {
        if (block.timestamp == lastFundingPaidAt) return;
        (int256 aggregated, int256 rate) = _currentFunding();
        aggregatedFunding = aggregated;
        lastFundingPaidAt = block.timestamp;
        emit AggregatedFundingUpdated(aggregated, rate, block.timestamp);
    }

    function _currentFunding() internal view returns (int256 aggregated, int256 rate) {
        aggregated = aggregatedFunding;
        // Bounds of zero leave no rate to work out: a new contract is set up before its feeds have data.
        if (isDisabled || maxRatePerHour == 0) return (aggregated, 0);
        (uint256 index,) = spotFeed.getSpot();
        rate = _fundingRate(int256(index));
        int256 elapsed = int256(block.timestamp - lastFundingPaidAt);
        aggregated += Fp.sMulWad(rate * elapsed / 3600, int256(index));
    }

    // premium / convergence + static rate, clamped; per hour.
    function _fundingRate(int256 index) internal view returns (int256 rate) {
        (uint256 ask,) = impactAskPriceFeed.getResult();
        (uint256 bid,) = impactBidPriceFeed.getResult();
        if (ask < bid) revert PA_InvalidImpactPrices();
        int256 above = Fp.max(int256(bid) - index, 0);
        int256 below = Fp.max(index - int256(ask), 0);
        int256 premium = Fp.sDivWad(above - below, index);
        rate = _divRound(premium, fundingConvergencePeriod) + staticInterestRate;
        rate = Fp.max(minRatePerHour, Fp.min(maxRatePerHour, rate));
    }

    // Fixed-point quotient rounded half away from zero.
    function _divRound(int256 x, int256 y) internal pure returns (int256) {
        int256 tenfold = x * 1e19 / y;
        return (tenfold + (tenfold < 0 ? -5 : int256(5))) / 10;
    }

    function _unrealizedPnl(Stored storage position, int256 size, uint256 price) internal view returns (int256) {
        if (size == 0) return 0;
        return Fp.sMulWad(int256(price) - int256(uint256(position.lastMarkPrice)), size);
    }

    function _unrealizedFunding(Stored storage position, int256 size, int256 aggregated)
        internal
        view
        returns (int256)
    {
        if (size == 0) return 0;
        return -Fp.sMulWad(size, aggregated - position.lastAggregatedFunding);
    }

    // ---------------------------------------------------------------------------------- views

    function positions(uint256 accountId)
        external
        view
        returns (uint256 lastMarkPrice, int256 funding, int256 pnl, int256 lastAggregatedFunding, uint256 unused)
    {
        Stored storage position = _positions[accountId];
        return (position.lastMarkPrice, position.funding, position.pnl, position.lastAggregatedFunding, 0);
    }

    // Everything the position is worth now beyond its size: what margin calls its value.
    function getUnsettledAndUnrealizedCash(uint256 accountId) external view returns (int256) {
        Stored storage position = _positions[accountId];
        int256 size = subAccounts.getBalance(accountId, address(this), 0);
        (uint256 price,) = getPerpPrice();
        (int256 aggregated,) = _currentFunding();
        return _unrealizedFunding(position, size, aggregated) + _unrealizedPnl(position, size, price)
            + position.funding + position.pnl;
    }

    function getPerpPrice() public view returns (uint256 price, uint256 confidence) {
        if (isDisabled) return (frozenPerpPrice, 1e18);
        return perpFeed.getResult();
    }

    function getIndexPrice() external view returns (uint256 price, uint256 confidence) { return spotFeed.getSpot(); }

    function getFundingRate() external view returns (int256) {
        if (isDisabled) return 0;
        (uint256 index,) = spotFeed.getSpot();
        return _fundingRate(int256(index));
    }
}
