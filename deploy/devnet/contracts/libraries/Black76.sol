// SPDX-License-Identifier: Apache-2.0
// The value of a European option on a forward. Knows no surface, no account and no clock.
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/src/utils/FixedPointMathLib.sol";
import {NormalCdf} from "libraries/NormalCdf.sol";

/// Black, "The pricing of commodity contracts" (1976), all in 18 decimals.
library Black76 {
    using FixedPointMathLib for uint256;

    // Beyond this total deviation a call is worth its forward to 18 decimals.
    uint256 private constant DEVIATION_MAX = 24e18;

    /// The discounted value of one call or put; `deviation` is volatility times the root of time.
    /// A zero deviation is taken as 1e-18 and so yields the intrinsic value.
    function price(
        uint256 forward,
        uint256 strike,
        uint256 deviation,
        uint256 discount,
        bool isCall
    ) internal pure returns (uint256) {
        if (strike == 0) return isCall ? forward.mulWad(discount) : 0;
        if (forward == 0) return isCall ? 0 : strike.mulWad(discount);
        uint256 moneyness = strike.divWad(forward);
        uint256 unit = _callShare(moneyness, deviation);
        if (!isCall) unit = (unit + moneyness).zeroFloorSub(1e18);
        uint256 cap = (isCall ? forward : strike).mulWad(discount);
        return FixedPointMathLib.min(unit.mulWad(forward).mulWad(discount), cap);
    }

    /// Undiscounted value of a call as a share of its forward: N(d1) - m N(d2), never negative.
    function _callShare(uint256 moneyness, uint256 deviation) private pure returns (uint256) {
        if (deviation >= DEVIATION_MAX) return 1e18;
        int256 v = deviation == 0 ? int256(1) : int256(deviation);
        unchecked {
            int256 logMoneyness = FixedPointMathLib.lnWad(int256(moneyness));
            int256 d1 = ((v * v / 2e18) - logMoneyness) * 1e18 / v;
            uint256 above = NormalCdf.cdf(d1);
            return above.zeroFloorSub(moneyness.mulWad(NormalCdf.cdf(d1 - v)));
        }
    }
}
