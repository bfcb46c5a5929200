// SPDX-License-Identifier: Apache-2.0
// The arithmetic of an auction: discount with time, largest fraction, price. Pure; it must not know state.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";

struct AuctionParams {
    uint256 startingMtMPercentage;
    uint256 fastAuctionCutoffPercentage;
    uint256 fastAuctionLength;
    uint256 slowAuctionLength;
    uint256 insolventAuctionLength;
    uint256 liquidatorFeeRate;
    uint256 bufferMarginPercentage;
}

library AuctionMath {
    // Share of mark-to-market asked for at `elapsed` seconds: a fast line, then a slow one down to zero.
    function discount(AuctionParams memory p, uint256 elapsed) internal pure returns (uint256) {
        if (elapsed < p.fastAuctionLength) {
            uint256 fall = p.startingMtMPercentage - p.fastAuctionCutoffPercentage;
            return p.startingMtMPercentage - fall * elapsed / p.fastAuctionLength;
        }
        uint256 slow = elapsed - p.fastAuctionLength;
        if (slow >= p.slowAuctionLength) return 0;
        return Fp.mulWad(p.fastAuctionCutoffPercentage, 1e18 - slow * 1e18 / p.slowAuctionLength);
    }

    // bm' / (bm' - mtm * d - R * (1 - d)): buying that share brings the rest's buffer margin to zero.
    function maxProportion(int256 mtm, int256 bufferMargin, uint256 share, uint256 reserved)
        internal
        pure
        returns (uint256)
    {
        int256 bm = Fp.min(bufferMargin, 0);
        int256 whole = bm - Fp.sMulWad(mtm, int256(share)) - Fp.sMulWad(int256(reserved), 1e18 - int256(share));
        // Nothing owed and nothing owned: any share does.
        if (whole == 0) return 1e18;
        return uint256(Fp.sDivWad(bm, whole));
    }

    // Falls from min(mtm, 0) to mm: a negative price is what the bidder is paid for the whole account.
    function insolventPrice(int256 mm, int256 mtm, uint256 elapsed, uint256 length) internal pure returns (int256) {
        if (mm >= 0) return 0;
        if (elapsed >= length) return mm;
        int256 top = Fp.min(mtm, 0);
        return top + (mm - top) * int256(elapsed) / int256(length);
    }
}
