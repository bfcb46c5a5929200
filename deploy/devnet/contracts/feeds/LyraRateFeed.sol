// SPDX-License-Identifier: Apache-2.0
// The interest rate to each expiry, pushed. It must not know options or accounts.
pragma solidity 0.8.30;

import {FeedData, IRateFeed} from "../Interfaces.sol";
import {SignedFeed} from "./SignedFeed.sol";

contract LyraRateFeed is SignedFeed, IRateFeed {
    event RateUpdated(uint64 indexed expiry, int96 rate, uint96 confidence, uint64 timestamp);

    error LRF_MissingExpiryData();

    struct RateDetail { int96 rate; uint64 confidence; uint64 timestamp; }

    mapping(uint64 => RateDetail) private _details;

    constructor() SignedFeed("LyraRateFeed") {}

    function getInterestRate(uint64 expiry) external view returns (int256, uint256) {
        RateDetail memory detail = _details[expiry];
        if (detail.timestamp == 0) revert LRF_MissingExpiryData();
        _checkFresh(detail.timestamp);
        return (detail.rate, detail.confidence);
    }

    function acceptData(bytes calldata data) external {
        FeedData memory feedData = _open(data);
        (uint64 expiry, int96 rate, uint64 confidence) = abi.decode(feedData.data, (uint64, int96, uint64));
        if (feedData.timestamp <= _details[expiry].timestamp) return;
        _checkConfidence(confidence);
        _details[expiry] = RateDetail(rate, confidence, feedData.timestamp);
        emit RateUpdated(expiry, rate, confidence, feedData.timestamp);
    }
}
