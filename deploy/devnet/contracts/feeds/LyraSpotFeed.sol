// SPDX-License-Identifier: Apache-2.0
// The spot price of one asset (or of the stable coin), pushed. It must not know who reads it.
pragma solidity 0.8.30;

import {FeedData, ISpotFeed} from "../Interfaces.sol";
import {SignedFeed} from "./SignedFeed.sol";

contract LyraSpotFeed is SignedFeed, ISpotFeed {
    event SpotPriceUpdated(uint96 spot, uint96 confidence, uint64 timestamp);

    error LSF_InvalidPrice();

    struct SpotDetail { uint96 price; uint64 confidence; uint64 timestamp; }

    SpotDetail private _detail;

    constructor() SignedFeed("LyraSpotFeed") {}

    function getSpot() external view returns (uint256, uint256) {
        SpotDetail memory detail = _detail;
        _checkFresh(detail.timestamp);
        return (detail.price, detail.confidence);
    }

    function acceptData(bytes calldata data) external {
        FeedData memory feedData = _open(data);
        // Late data are no error: whoever raced us to the same or a newer price has done our work.
        if (feedData.timestamp <= _detail.timestamp) return;
        (uint96 price, uint64 confidence) = abi.decode(feedData.data, (uint96, uint64));
        _checkConfidence(confidence);
        if (price == 0) revert LSF_InvalidPrice();
        _detail = SpotDetail(price, confidence, feedData.timestamp);
        emit SpotPriceUpdated(price, confidence, feedData.timestamp);
    }
}
