// SPDX-License-Identifier: Apache-2.0
// A price quoted as a difference to spot (a perpetual's mark, its impact bid and ask), pushed; it moves
// with spot between updates and never further from it than the cap. It must not know who reads it.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {FeedData, ISpotDiffFeed, ISpotFeed} from "../Interfaces.sol";
import {SignedFeed} from "./SignedFeed.sol";

contract LyraSpotDiffFeed is SignedFeed, ISpotDiffFeed {
    event SpotDiffUpdated(int96 spotDiff, uint96 confidence, uint64 timestamp);
    event SpotDiffCapUpdated(uint256 spotDiffCap);
    event SpotFeedUpdated(ISpotFeed spotFeed);

    struct SpotDiffDetail { int96 spotDiff; uint64 confidence; uint64 timestamp; }

    ISpotFeed public spotFeed;
    // Share of spot, 18 decimals.
    int256 public spotDiffCap = 0.1e18;
    SpotDiffDetail public spotDiffDetails;

    constructor(ISpotFeed spotFeed_) SignedFeed("LyraSpotDiffFeed") { spotFeed = spotFeed_; }

    function setSpotFeed(ISpotFeed newFeed) external onlyOwner {
        spotFeed = newFeed;
        emit SpotFeedUpdated(newFeed);
    }

    function setSpotDiffCap(uint256 newCap) external onlyOwner {
        spotDiffCap = int256(newCap);
        emit SpotDiffCapUpdated(newCap);
    }

    function getResult() external view returns (uint256, uint256) {
        (uint256 spot, uint256 spotConfidence) = spotFeed.getSpot();
        SpotDiffDetail memory detail = spotDiffDetails;
        _checkFresh(detail.timestamp);
        int256 cap = Fp.sMulWad(int256(spot), spotDiffCap);
        int256 price = int256(spot) + Fp.clamp(int256(detail.spotDiff), -cap, cap);
        return (price > 0 ? uint256(price) : 0, Fp.min(spotConfidence, detail.confidence));
    }

    function acceptData(bytes calldata data) external {
        FeedData memory feedData = _open(data);
        if (feedData.timestamp <= spotDiffDetails.timestamp) return;
        (int96 spotDiff, uint64 confidence) = abi.decode(feedData.data, (int96, uint64));
        _checkConfidence(confidence);
        spotDiffDetails = SpotDiffDetail(spotDiff, confidence, feedData.timestamp);
        emit SpotDiffUpdated(spotDiff, confidence, feedData.timestamp);
    }
}
