// SPDX-License-Identifier: Apache-2.0
// The standard normal distribution function in 18-decimal fixed point. Knows no option.
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/src/utils/FixedPointMathLib.sol";

/// Hart's double-precision algorithm as published by West, "Better approximations to cumulative
/// normal functions", Wilmott 2005: a ratio of polynomials times exp(-z^2/2) up to 7.07, a continued
/// fraction beyond. Within three deviations good to 1e-14 relative, everywhere to 3e-17 absolute.
library NormalCdf {
    // N(-9.2) is below half a unit of the eighteenth decimal.
    uint256 private constant FLAT = 9.2e18;
    uint256 private constant SPLIT = 7.07106781186547e18;
    uint256 private constant SQRT_TWO_PI = 2506628274631000502;

    /// P(Z <= x).
    function cdf(int256 x) internal pure returns (uint256 result) {
        unchecked {
            uint256 z = FixedPointMathLib.abs(x);
            if (z < FLAT) {
                uint256 density = uint256(FixedPointMathLib.expWad(-int256(z * z / 2e18)));
                result = z < SPLIT ? density * _numerator(z) / _denominator(z) : _tail(density, z);
            }
            if (x > 0) result = 1e18 - result;
        }
    }

    function _numerator(uint256 z) private pure returns (uint256 p) {
        unchecked {
            p = 35262496599891100 * z / 1e18 + 700383064443688000;
            p = p * z / 1e18 + 6373962203531650000;
            p = p * z / 1e18 + 33912866078383000000;
            p = p * z / 1e18 + 112079291497871000000;
            p = p * z / 1e18 + 221213596169931000000;
            p = p * z / 1e18 + 220206867912376000000;
        }
    }

    function _denominator(uint256 z) private pure returns (uint256 q) {
        unchecked {
            q = 88388347648318400 * z / 1e18 + 1755667163182640000;
            q = q * z / 1e18 + 16064177579207000000;
            q = q * z / 1e18 + 86780732202946100000;
            q = q * z / 1e18 + 296564248779674000000;
            q = q * z / 1e18 + 637333633378831000000;
            q = q * z / 1e18 + 793826512519948000000;
            q = q * z / 1e18 + 440413735824752000000;
        }
    }

    function _tail(uint256 density, uint256 z) private pure returns (uint256) {
        unchecked {
            uint256 b = z + 0.65e18;
            b = z + 4e36 / b;
            b = z + 3e36 / b;
            b = z + 2e36 / b;
            b = z + 1e36 / b;
            return density * 1e36 / (b * SQRT_TWO_PI);
        }
    }
}
