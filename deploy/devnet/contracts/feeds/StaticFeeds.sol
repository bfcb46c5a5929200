// SPDX-License-Identifier: Apache-2.0
// Feeds whose value the owner sets and which never grow old: for a stable coin, a peg, a flat rate.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {IRateFeed, ISpotDiffFeed, ISpotFeed} from "../Interfaces.sol";

contract StaticSpotFeed is Ownable, ISpotFeed {
    event SpotUpdated(uint256 spot, uint256 confidence);

    uint256 private _spot;
    uint256 private _confidence;

    constructor() { _initializeOwner(msg.sender); }

    function setSpot(uint256 spot, uint256 confidence) external onlyOwner {
        (_spot, _confidence) = (spot, confidence);
        emit SpotUpdated(spot, confidence);
    }

    function getSpot() external view returns (uint256, uint256) { return (_spot, _confidence); }
}

contract StaticSpotDiffFeed is Ownable, ISpotDiffFeed {
    event SpotDiffValueUpdated(uint256 spotDiff, uint256 confidence);

    ISpotFeed public spotFeed;
    uint256 private _spotDiff;
    uint256 private _confidence;

    constructor(ISpotFeed spotFeed_) {
        _initializeOwner(msg.sender);
        spotFeed = spotFeed_;
    }

    function setSpotDiff(uint256 spotDiff, uint256 confidence) external onlyOwner {
        (_spotDiff, _confidence) = (spotDiff, confidence);
        emit SpotDiffValueUpdated(spotDiff, confidence);
    }

    function getResult() external view returns (uint256, uint256) {
        (uint256 spot, uint256 confidence) = spotFeed.getSpot();
        return (spot + _spotDiff, confidence < _confidence ? confidence : _confidence);
    }
}

contract StaticRateFeed is Ownable, IRateFeed {
    event RateUpdated(int64 rate, uint64 confidence);

    int64 private _rate;
    uint64 private _confidence;

    constructor() { _initializeOwner(msg.sender); }

    function setRate(int64 rate, uint64 confidence) external onlyOwner {
        (_rate, _confidence) = (rate, confidence);
        emit RateUpdated(rate, confidence);
    }

    function getInterestRate(uint64) external view returns (int256, uint256) { return (_rate, _confidence); }
}
