// SPDX-License-Identifier: Apache-2.0
// What the owner of a risk manager may set: feeds, scenarios, limits, who is trusted. What the constructor
// sets emits nothing, as with the venue's initialiser: a reader has to call the getters once.
pragma solidity 0.8.30;

import {IAuction, IForwardFeed, IRateFeed, ISpotFeed, ISubAccounts, IVolFeed} from "../Interfaces.sol";
import {PortfolioArranger} from "./PortfolioArranger.sol";
import {IPMRMLib_2, Scenario, VolShockDirection} from "./PMRMTypes.sol";

abstract contract PMRMSettings is PortfolioArranger {
    event ScenariosUpdated(Scenario[] scenarios);
    event SpotFeedUpdated(ISpotFeed spotFeed);
    event StableFeedUpdated(ISpotFeed stableFeed);
    event ForwardFeedUpdated(IForwardFeed forwardFeed);
    event InterestRateFeedUpdated(IRateFeed interestRateFeed);
    event VolFeedUpdated(IVolFeed volFeed);
    event CollateralSpotFeedUpdated(address asset, ISpotFeed feed);
    event LibOverrideUpdated(uint256 indexed accountId, IPMRMLib_2 lib);
    event MaxExpiriesUpdated(uint256 maxExpiries);
    event MaxAccountSizeUpdated(uint256 maxAccountSize);
    event AdjustmentsPausedSet(bool adjustmentsPaused);
    event CalleeWhitelisted(address callee, bool whitelisted);
    event TrustedRiskAssessorUpdated(address riskAssessor, bool trusted);
    event GuardianUpdated(address guardian);

    error PMRM_2_InvalidScenarios();
    error PMRM_2_InvalidMaxExpiries();
    error PMRM_2_InvalidSpotFeed();
    error PMRM_2_NotAllowedToClearLib();
    error BM_InvalidMaxAccountSize();
    error BM_OnlyGuardian();

    uint256 private constant MAX_SCENARIOS = 40;
    uint256 private constant MAX_EXPIRIES_CEILING = 30;

    IAuction public immutable liquidation;
    uint256 public maxAccountSize = 128;
    bool public adjustmentsPaused;
    address public guardian;
    mapping(address => bool) public whitelistedCallee;
    mapping(address => bool) public trustedRiskAssessor;

    constructor(
        ISubAccounts subAccounts_,
        address cash_,
        address option_,
        address perp_,
        IPMRMLib_2 lib_,
        IAuction liquidation_,
        Feeds memory feeds
    ) PortfolioArranger(subAccounts_, cash_, option_, perp_, lib_, feeds) {
        _initializeOwner(msg.sender);
        liquidation = liquidation_;
    }

    // The views are this contract's own, so it is its own viewer.
    function viewer() external view returns (address) { return address(this); }

    function setScenarios(Scenario[] calldata scenarios) external onlyOwner {
        if (scenarios.length == 0 || scenarios.length > MAX_SCENARIOS) revert PMRM_2_InvalidScenarios();
        delete _scenarios;
        bool seenLinear = false;
        bool seenAbs = false;
        for (uint256 i = 0; i < scenarios.length; ++i) {
            Scenario calldata each = scenarios[i];
            bool isLinear = each.volShock == VolShockDirection.Linear;
            bool isAbs = each.volShock == VolShockDirection.Abs;
            if ((isLinear && seenLinear) || (isAbs && seenAbs)) revert PMRM_2_InvalidScenarios();
            if ((isLinear || isAbs) && each.spotShock != 1e18) revert PMRM_2_InvalidScenarios();
            (seenLinear, seenAbs) = (seenLinear || isLinear, seenAbs || isAbs);
            _scenarios.push(PackedScenario(_narrow(each.spotShock), _narrow(each.dampeningFactor), each.volShock));
        }
        emit ScenariosUpdated(scenarios);
    }

    function setSpotFeed(ISpotFeed newFeed) external onlyOwner {
        spotFeed = newFeed;
        emit SpotFeedUpdated(newFeed);
    }

    function setStableFeed(ISpotFeed newFeed) external onlyOwner {
        stableFeed = newFeed;
        emit StableFeedUpdated(newFeed);
    }

    function setForwardFeed(IForwardFeed newFeed) external onlyOwner {
        forwardFeed = newFeed;
        emit ForwardFeedUpdated(newFeed);
    }

    function setInterestRateFeed(IRateFeed newFeed) external onlyOwner {
        interestRateFeed = newFeed;
        emit InterestRateFeedUpdated(newFeed);
    }

    function setVolFeed(IVolFeed newFeed) external onlyOwner {
        volFeed = newFeed;
        emit VolFeedUpdated(newFeed);
    }

    function setCollateralSpotFeed(address asset, ISpotFeed newFeed) external onlyOwner {
        if (address(newFeed) == address(0)) revert PMRM_2_InvalidSpotFeed();
        collateralSpotFeeds[asset] = newFeed;
        emit CollateralSpotFeedUpdated(asset, newFeed);
    }

    function setMaxExpiries(uint256 newMax) external onlyOwner {
        if (newMax == 0 || newMax > MAX_EXPIRIES_CEILING) revert PMRM_2_InvalidMaxExpiries();
        maxExpiries = newMax;
        emit MaxExpiriesUpdated(newMax);
    }

    function setMaxAccountSize(uint256 newMax) external onlyOwner {
        if (newMax < 8 || newMax > 500) revert BM_InvalidMaxAccountSize();
        maxAccountSize = newMax;
        emit MaxAccountSizeUpdated(newMax);
    }

    function setWhitelistedCallee(address callee, bool whitelisted) external onlyOwner {
        whitelistedCallee[callee] = whitelisted;
        emit CalleeWhitelisted(callee, whitelisted);
    }

    function setTrustedRiskAssessor(address riskAssessor, bool trusted) external onlyOwner {
        trustedRiskAssessor[riskAssessor] = trusted;
        emit TrustedRiskAssessorUpdated(riskAssessor, trusted);
    }

    function setGuardian(address newGuardian) external onlyOwner {
        guardian = newGuardian;
        emit GuardianUpdated(newGuardian);
    }

    function setAdjustmentsPaused(bool paused) external {
        if (msg.sender != owner() && msg.sender != guardian) revert BM_OnlyGuardian();
        adjustmentsPaused = paused;
        emit AdjustmentsPausedSet(paused);
    }

    // Zero clears. The guardian may clear too, and anybody once the account is being auctioned.
    function setLibOverride(uint256 accountId, IPMRMLib_2 newLib) external {
        bool isClearing = address(newLib) == address(0);
        bool mayClear = msg.sender == guardian || liquidation.isAuctionLive(accountId);
        if (msg.sender != owner() && !(isClearing && mayClear)) revert PMRM_2_NotAllowedToClearLib();
        _libOverride[accountId] = newLib;
        emit LibOverrideUpdated(accountId, newLib);
    }

    function _narrow(uint256 value) private pure returns (uint112) {
        if (value > type(uint112).max) revert PMRM_2_InvalidScenarios();
        return uint112(value);
    }
}
