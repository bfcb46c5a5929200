// SPDX-License-Identifier: Apache-2.0
// Margin of a portfolio whose prices are already in it: what every scenario costs, what is added on top.
// It must not know accounts, feeds or who asks.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {Black76} from "../libraries/Black76.sol";
import {PMRMPrecomputes} from "./PMRMPrecomputes.sol";
import {
    ExpiryHoldings,
    IPMRMLib_2,
    Portfolio,
    Scenario,
    SkewShockParams,
    StrikeHolding,
    VolShockDirection
} from "./PMRMTypes.sol";

contract PMRMLib_2 is PMRMPrecomputes, IPMRMLib_2 {
    // The shocked width of one expiry's skew, the same for all its strikes.
    struct SkewShape { int256 cap; int256 kStar; bool isLinear; }

    function addPrecomputes(Portfolio memory portfolio) external view returns (Portfolio memory) {
        _precompute(portfolio);
        return portfolio;
    }

    /// Margin, mark to market, and the first scenario that is strictly worse than all before it;
    /// the number of scenarios when none is worse than the basis contingency.
    function getMarginAndMarkToMarket(Portfolio memory portfolio, bool isInitial, Scenario[] memory scenarios)
        external
        view
        returns (int256 margin, int256 markToMarket, uint256 worstScenario)
    {
        int256 cancelling = _precompute(portfolio);
        int256 span = portfolio.basisContingency;
        worstScenario = scenarios.length;
        for (uint256 i = 0; i < scenarios.length; ++i) {
            int256 pnl = _scenarioPnL(portfolio, scenarios[i], cancelling);
            if (pnl < span) (span, worstScenario) = (pnl, i);
        }
        markToMarket = portfolio.totalMtM + portfolio.cash;
        margin = Fp.sMulWad(span, int256(_lossFactor(isInitial, portfolio.stablePrice))) + markToMarket
            - int256(portfolio.MMContingency);
        if (isInitial) margin -= int256(portfolio.IMContingency);
    }

    function getScenarioPnL(Portfolio memory portfolio, Scenario memory scenario) external view returns (int256) {
        int256 cancelling = _precompute(portfolio);
        return _scenarioPnL(portfolio, scenario, cancelling);
    }

    function _lossFactor(bool isInitial, uint256 stablePrice) private view returns (uint256) {
        if (!isInitial) return _margin.mmFactor;
        uint256 depth = Fp.zeroFloorSub(_other.pegLossThreshold, stablePrice);
        return _margin.imFactor + Fp.mulWad(depth, _other.pegLossFactor);
    }

    // `cancelling` is the value of the collateral that moves with spot.
    function _scenarioPnL(Portfolio memory portfolio, Scenario memory scenario, int256 cancelling)
        private
        view
        returns (int256 pnl)
    {
        int256 damping = int256(scenario.dampeningFactor);
        int256 move = int256(scenario.spotShock) - 1e18;
        int256 linear = Fp.sMulWad(cancelling, move);
        if (portfolio.perpPosition != 0) {
            linear += Fp.sMulWad(Fp.sMulWad(portfolio.perpPosition, move), int256(portfolio.perpPrice));
        }
        pnl = Fp.sMulWad(linear, damping);
        bool isSkew = scenario.volShock >= VolShockDirection.Linear;
        for (uint256 i = 0; i < portfolio.expiries.length; ++i) {
            ExpiryHoldings memory expiry = portfolio.expiries[i];
            int256 value = _scenarioValue(expiry, scenario);
            value = Fp.sMulWad(value, int256(value >= 0 ? expiry.staticDiscountPos : expiry.staticDiscountNeg));
            int256 change = Fp.sMulWad(value - expiry.mtm, damping);
            // A skew may turn either way, so its effect always counts against the account.
            pnl += isSkew ? -int256(Fp.abs(change)) : change;
        }
    }

    function _scenarioValue(ExpiryHoldings memory expiry, Scenario memory scenario) private view returns (int256) {
        VolShockDirection direction = scenario.volShock;
        if (direction >= VolShockDirection.Linear) return _skewValue(expiry, direction == VolShockDirection.Linear);
        if (direction == VolShockDirection.None) {
            if (scenario.spotShock == 1e18) return expiry.mtm;
            if (scenario.spotShock == _basis.scenarioSpotUp) return expiry.basisScenarioUpMtM;
            if (scenario.spotShock == _basis.scenarioSpotDown) return expiry.basisScenarioDownMtM;
            return _value(expiry, scenario.spotShock, 1e18, 0);
        }
        if (direction == VolShockDirection.Down) return _value(expiry, scenario.spotShock, expiry.volShockDown, 0);
        return _value(expiry, scenario.spotShock, expiry.volShockUp, _volShock.minVolUpShock);
    }

    function _skewValue(ExpiryHoldings memory expiry, bool isLinear) private view returns (int256 total) {
        uint256 rootTime = _rootTime(expiry.secToExpiry);
        uint256 forward = expiry.forwardFixedPortion + expiry.forwardVariablePortion;
        SkewShape memory shape = _skewShape(int256(rootTime), isLinear);
        for (uint256 i = 0; i < expiry.options.length; ++i) {
            StrikeHolding memory option = expiry.options[i];
            uint256 vol = Fp.mulWad(option.vol, _skewMultiplier(option.strike, forward, shape));
            uint256 price = Black76.price(
                forward, option.strike, Fp.mulWad(vol, rootTime), expiry.discount, option.isCall
            );
            total += Fp.sMulWad(option.amount, int256(price));
        }
    }

    function _skewShape(int256 rootTime, bool isLinear) private view returns (SkewShape memory shape) {
        SkewShockParams memory skew = _skew;
        shape.isLinear = isLinear;
        shape.cap = int256(isLinear ? skew.linearBaseCap : skew.absBaseCap)
            + Fp.sMulWad(isLinear ? skew.linearCBase : skew.absCBase, rootTime);
        int256 width = skew.volParamStatic + Fp.sMulWad(rootTime, skew.volParamScale);
        shape.kStar = Fp.max(skew.minKStar, Fp.sMulWad(Fp.sMulWad(rootTime, skew.widthScale), width));
    }

    function _skewMultiplier(uint256 strike, uint256 forward, SkewShape memory shape)
        private
        pure
        returns (uint256)
    {
        uint256 moneyness = Fp.divWad(strike, forward);
        if (moneyness == 0) revert Overflow();
        int256 k = Fp.lnWad(int256(moneyness));
        if (!shape.isLinear && k < 0) k = -k;
        int256 slope = Fp.sDivWad(Fp.sMulWad(k, shape.cap), shape.kStar);
        int256 multiplier = 1e18 + (k >= 0 ? Fp.min(shape.cap, slope) : Fp.max(-shape.cap, slope));
        return multiplier > 0 ? uint256(multiplier) : 0;
    }
}
