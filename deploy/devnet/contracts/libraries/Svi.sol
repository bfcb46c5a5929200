// SPDX-License-Identifier: Apache-2.0
// One smile of implied volatility. Knows no feed and no clock.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";

/// Gatheral's raw SVI: w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), k = ln(K / F), all in 18
/// decimals; k held within four deviations at the vertex and w below 144, as the venue's feed does.
library Svi {
    error SVI_InvalidParameters();
    error SVI_NegativeVariance();

    struct Smile { int256 a; uint256 b; int256 rho; int256 m; uint256 sigma; uint256 forward; uint256 tau; }

    int256 private constant VARIANCE_MAX = 144e18;

    function volatility(uint256 strike, Smile memory smile) internal pure returns (uint256) {
        if (strike == 0) return 0;
        int256 k = _logMoneyness(strike, smile);
        unchecked {
            // The root at twice the decimals: it loses none to the squares.
            int256 x = k - smile.m;
            uint256 root = Fp.sqrt(uint256(x * x) + smile.sigma * smile.sigma);
            int256 inner = smile.rho * x / 1e18 + int256(root);
            int256 w = smile.a + int256(smile.b) * inner / 1e18;
            if (w < 0) revert SVI_NegativeVariance();
            if (w > VARIANCE_MAX) w = VARIANCE_MAX;
            return Fp.sqrt(uint256(w) * 1e36 / smile.tau);
        }
    }

    function _logMoneyness(uint256 strike, Smile memory smile) private pure returns (int256) {
        int256 vertex = smile.a + int256(Fp.mulWad(smile.b, smile.sigma));
        if (vertex < 0 || smile.tau == 0 || smile.forward == 0) revert SVI_InvalidParameters();
        int256 bound = int256(4 * Fp.sqrt(uint256(vertex) * 1e18));
        uint256 moneyness = Fp.divWad(strike, smile.forward);
        if (moneyness == 0) return -bound;
        return Fp.clamp(Fp.lnWad(int256(moneyness)), -bound, bound);
    }
}
