// SPDX-License-Identifier: Apache-2.0
// The borrow rate as a kinked line in utilisation. It must not know any balance but the two totals.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";

contract InterestRateModel {
    uint256 public immutable minRate;
    uint256 public immutable rateMultiplier;
    uint256 public immutable highRateMultiplier;
    uint256 public immutable optimalUtil;

    // All four are 1e18 = 100 % a year, optimalUtil a share of supply.
    constructor(uint256 minRate_, uint256 multiplier_, uint256 highMultiplier_, uint256 optimal_) {
        require(optimal_ <= 1e18);
        minRate = minRate_;
        rateMultiplier = multiplier_;
        highRateMultiplier = highMultiplier_;
        optimalUtil = optimal_;
    }

    // exp(seconds * rate / year) - 1.
    function getBorrowInterestFactor(uint256 elapsed, uint256 borrowRate) external pure returns (uint256) {
        return uint256(Fp.expWad(int256(elapsed * borrowRate / 365 days))) - 1e18;
    }

    function getBorrowRate(uint256 supply, uint256 borrows) external view returns (uint256) {
        uint256 util = getUtilRate(supply, borrows);
        if (util <= optimalUtil) return minRate + Fp.mulWad(util, rateMultiplier);
        return minRate + Fp.mulWad(optimalUtil, rateMultiplier) + Fp.mulWad(util - optimalUtil, highRateMultiplier);
    }

    function getUtilRate(uint256 supply, uint256 borrows) public pure returns (uint256) {
        if (supply == 0 || borrows == 0) return 0;
        return Fp.min(Fp.divWad(borrows, supply), 1e18);
    }
}
