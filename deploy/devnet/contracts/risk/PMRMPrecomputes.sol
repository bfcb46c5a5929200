// SPDX-License-Identifier: Apache-2.0
// What a portfolio needs worked out once before any scenario: values, shocks, discounts, contingencies.
// It must not know which scenarios follow.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {Black76} from "../libraries/Black76.sol";
import {PMRMParameters} from "./PMRMParameters.sol";
import {
    BasisContingencyParams,
    CollateralHoldings,
    CollateralParameters,
    ExpiryHoldings,
    MarginParams,
    OtherContingencyParams,
    Portfolio,
    StrikeHolding,
    VolShockParams
} from "./PMRMTypes.sol";

abstract contract PMRMPrecomputes is PMRMParameters {
    error PMRML2_CollateralDisabled();
    // A strike so far below its forward that their ratio has no logarithm.
    error Overflow();

    uint256 internal constant YEAR = 365 days;

    // Parameters are read from storage once a call, not once an expiry.
    struct Loaded { BasisContingencyParams basis; OtherContingencyParams other; MarginParams margin; VolShockParams vol; }

    /// Fill every derived field of `portfolio`; returns the value of its risk-cancelling collateral.
    function _precompute(Portfolio memory portfolio) internal view returns (int256 cancelling) {
        Loaded memory loaded = Loaded(_basis, _other, _margin, _volShock);
        _addPerp(portfolio, loaded.other);
        portfolio.totalMtM = portfolio.perpValue;
        for (uint256 i = 0; i < portfolio.expiries.length; ++i) {
            ExpiryHoldings memory expiry = portfolio.expiries[i];
            _addValues(expiry, loaded.basis);
            _addShocks(expiry, loaded.vol);
            _addDiscounts(expiry, loaded.margin);
            portfolio.totalMtM += expiry.mtm;
            portfolio.basisContingency += _basisContingency(expiry, loaded.basis);
            _addOptionContingency(portfolio, expiry, loaded.other);
        }
        return _addCollaterals(portfolio, loaded.other);
    }

    /// Sum of amount times price with spot moved by `shock` and each volatility multiplied and floored.
    function _value(ExpiryHoldings memory expiry, uint256 shock, uint256 volShock, uint256 volFloor)
        internal
        pure
        returns (int256 total)
    {
        uint256 rootTime = _rootTime(expiry.secToExpiry);
        uint256 forward = Fp.mulWad(expiry.forwardVariablePortion, shock) + expiry.forwardFixedPortion;
        uint256 discount = expiry.discount;
        for (uint256 i = 0; i < expiry.options.length; ++i) {
            StrikeHolding memory option = expiry.options[i];
            uint256 vol = Fp.max(Fp.mulWad(option.vol, volShock), volFloor);
            uint256 price = Black76.price(forward, option.strike, Fp.mulWad(vol, rootTime), discount, option.isCall);
            total += Fp.sMulWad(option.amount, int256(price));
        }
    }

    // Square root of the time to expiry in years.
    function _rootTime(uint256 secToExpiry) internal pure returns (uint256) {
        return Fp.sqrt(secToExpiry * 1e36 / YEAR);
    }

    function _addValues(ExpiryHoldings memory expiry, BasisContingencyParams memory basis) private pure {
        uint256 tau = expiry.secToExpiry * 1e18 / YEAR;
        expiry.discount = uint64(uint256(Fp.expWad(-int256(Fp.mulWad(expiry.rate, tau)))));
        expiry.mtm = _value(expiry, 1e18, 1e18, 0);
        expiry.basisScenarioUpMtM = _value(expiry, basis.scenarioSpotUp, 1e18, 0);
        expiry.basisScenarioDownMtM = _value(expiry, basis.scenarioSpotDown, 1e18, 0);
    }

    function _basisContingency(ExpiryHoldings memory expiry, BasisContingencyParams memory basis)
        private
        pure
        returns (int256)
    {
        int256 worse = Fp.min(expiry.basisScenarioUpMtM, expiry.basisScenarioDownMtM) - expiry.mtm;
        uint256 tau = expiry.secToExpiry * 1e18 / YEAR;
        uint256 factor = basis.basisContAddFactor + Fp.mulWad(basis.basisContMultFactor, tau);
        return worse < 0 ? Fp.sMulWad(worse, int256(factor)) : int256(0);
    }

    // Short-dated volatility moves more than long-dated: a power law around thirty days.
    function _addShocks(ExpiryHoldings memory expiry, VolShockParams memory params) private pure {
        int256 power = expiry.secToExpiry <= 30 days ? params.shortTermPower : params.longTermPower;
        uint256 ratio = Fp.divWad(30 days, Fp.max(expiry.secToExpiry, params.dteFloor));
        uint256 multiple = uint256(Fp.powWad(int256(ratio), power));
        expiry.volShockUp = 1e18 + Fp.mulWad(params.volRangeUp, multiple);
        expiry.volShockDown = Fp.zeroFloorSub(1e18, Fp.mulWad(params.volRangeDown, multiple));
    }

    function _addDiscounts(ExpiryHoldings memory expiry, MarginParams memory params) private pure {
        uint256 tau = expiry.secToExpiry * 1e18 / YEAR;
        uint256 long = Fp.mulWad(expiry.rate, params.longRateMultScale) + params.longRateAddScale;
        uint256 short = Fp.mulWad(expiry.rate, params.shortRateMultScale) + params.shortRateAddScale;
        uint256 longDecay = uint256(Fp.expWad(-int256(Fp.mulWad(tau, long))));
        uint256 shortDecay = uint256(Fp.expWad(-int256(Fp.mulWad(tau, short))));
        expiry.staticDiscountPos = Fp.mulWad(params.longBaseStaticDiscount, longDecay);
        expiry.staticDiscountNeg = Fp.min(
            Fp.divWad(1e18, expiry.discount), Fp.divWad(params.shortBaseStaticDiscount, shortDecay)
        );
    }

    function _addPerp(Portfolio memory portfolio, OtherContingencyParams memory params) private pure {
        if (portfolio.perpPosition == 0) return;
        uint256 notional = Fp.mulWad(Fp.abs(portfolio.perpPosition), portfolio.spotPrice);
        portfolio.MMContingency += Fp.mulWad(notional, params.MMPerpPercent);
        portfolio.IMContingency += Fp.mulWad(notional, params.IMPerpPercent)
            + _confidenceCharge(portfolio.minConfidence, notional, params);
    }

    function _addOptionContingency(
        Portfolio memory portfolio,
        ExpiryHoldings memory expiry,
        OtherContingencyParams memory params
    ) private pure {
        uint256 naked = Fp.mulWad(_nakedShorts(expiry.options), portfolio.spotPrice);
        uint256 net = Fp.mulWad(expiry.netOptions, portfolio.spotPrice);
        portfolio.MMContingency += Fp.mulWad(naked, params.MMOptionPercent);
        portfolio.IMContingency += Fp.mulWad(naked, params.IMOptionPercent)
            + _confidenceCharge(expiry.minConfidence, net, params);
    }

    function _addCollaterals(Portfolio memory portfolio, OtherContingencyParams memory params)
        private
        view
        returns (int256 cancelling)
    {
        for (uint256 i = 0; i < portfolio.collaterals.length; ++i) {
            CollateralHoldings memory holding = portfolio.collaterals[i];
            CollateralParameters memory collateral = _collateral[holding.asset];
            if (!collateral.isEnabled) revert PMRML2_CollateralDisabled();
            portfolio.totalMtM += int256(holding.value);
            portfolio.MMContingency += Fp.mulWad(holding.value, collateral.MMHaircut);
            portfolio.IMContingency += Fp.mulWad(holding.value, collateral.IMHaircut)
                + _confidenceCharge(holding.minConfidence, holding.value, params);
            if (collateral.isRiskCancelling) cancelling += int256(holding.value);
        }
    }

    function _confidenceCharge(uint256 confidence, uint256 notional, OtherContingencyParams memory params)
        private
        pure
        returns (uint256)
    {
        if (confidence >= params.confThreshold) return 0;
        return Fp.mulWad(Fp.mulWad(1e18 - confidence, params.confMargin), notional);
    }

    // Shorts that no long at the same strike covers; a call covers a put and the other way round.
    function _nakedShorts(StrikeHolding[] memory options) private pure returns (uint256 naked) {
        for (uint256 i = 0; i < options.length; ++i) {
            StrikeHolding memory option = options[i];
            if (option.seenInFilter) continue;
            option.seenInFilter = true;
            int256 other = _partner(options, i);
            int256 short = Fp.min(option.amount, 0) + Fp.min(other, 0);
            int256 long = Fp.max(option.amount, 0) + Fp.max(other, 0);
            if (short + long < 0) naked += uint256(-(short + long));
        }
    }

    // Amount of the other option at the strike of `options[at]`, marked as seen; zero if there is none.
    function _partner(StrikeHolding[] memory options, uint256 at) private pure returns (int256) {
        uint256 strike = options[at].strike;
        for (uint256 j = at + 1; j < options.length; ++j) {
            StrikeHolding memory candidate = options[j];
            if (candidate.strike == strike) {
                candidate.seenInFilter = true;
                return candidate.amount;
            }
        }
        return 0;
    }
}
