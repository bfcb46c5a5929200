// SPDX-License-Identifier: Apache-2.0
// The forward of each expiry as a difference to spot, and in the last half hour the running average that
// becomes the settlement price. It must not know options.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {FeedData, IForwardFeed, ISettlementFeed, ISpotFeed} from "../Interfaces.sol";
import {SignedFeed} from "./SignedFeed.sol";

contract LyraForwardFeed is SignedFeed, IForwardFeed, ISettlementFeed {
    struct ForwardDetails { int96 fwdSpotDifference; uint64 confidence; uint64 timestamp; }
    // Sums of the spot price over seconds, at the window's start and now.
    struct SettlementDetails { uint256 settlementStartAggregate; uint256 currentSpotAggregate; }

    event ForwardDataUpdated(uint64 indexed expiry, ForwardDetails fwdDetails, SettlementDetails settlementDetails);
    event SettlementHeartbeatUpdated(uint64 settlementHeartbeat);
    event SpotFeedUpdated(ISpotFeed spotFeed);

    error LFF_MissingExpiryData();
    error LFF_SettlementDataTooOld();
    error LFF_InvalidFwdDataTimestamp();
    error LFF_InvalidSettlementData();

    uint64 public constant SETTLEMENT_TWAP_DURATION = 30 minutes;

    ISpotFeed public spotFeed;
    uint64 public settlementHeartbeat = 3 minutes;
    mapping(uint64 => ForwardDetails) private _forward;
    mapping(uint64 => SettlementDetails) private _settlement;

    constructor(ISpotFeed spotFeed_) SignedFeed("LyraForwardFeed") { spotFeed = spotFeed_; }

    function setSettlementHeartbeat(uint64 newHeartbeat) external onlyOwner {
        settlementHeartbeat = newHeartbeat;
        emit SettlementHeartbeatUpdated(newHeartbeat);
    }

    function setSpotFeed(ISpotFeed newFeed) external onlyOwner {
        spotFeed = newFeed;
        emit SpotFeedUpdated(newFeed);
    }

    function getForwardPrice(uint64 expiry) external view returns (uint256, uint256) {
        (uint256 fixedPart, uint256 variablePart, uint256 confidence) = getForwardPricePortions(expiry);
        return (fixedPart + variablePart, confidence);
    }

    // The part that spot can no longer move, and the part that it still moves.
    function getForwardPricePortions(uint64 expiry)
        public
        view
        returns (uint256 forwardFixed, uint256 forwardVariable, uint256 confidence)
    {
        ForwardDetails memory detail = _forward[expiry];
        _checkReadable(expiry, detail.timestamp);
        (uint256 spot, uint256 spotConfidence) = spotFeed.getSpot();
        confidence = Fp.min(spotConfidence, detail.confidence);
        int256 whole = int256(spot) + detail.fwdSpotDifference;
        forwardVariable = whole > 0 ? uint256(whole) : 0;
        if (detail.timestamp + SETTLEMENT_TWAP_DURATION > expiry) {
            forwardFixed = _average(expiry);
            // By the time of the data, not of the reader: between updates nothing has been averaged.
            forwardVariable = forwardVariable * (expiry - detail.timestamp) / SETTLEMENT_TWAP_DURATION;
        }
    }

    function getSettlementPrice(uint64 expiry) external view returns (bool settled, uint256 price) {
        if (_forward[expiry].timestamp != expiry) return (false, 0);
        return (true, _average(expiry));
    }

    function acceptData(bytes calldata data) external {
        FeedData memory feedData = _open(data);
        (uint64 expiry, uint256 startAggregate, uint256 currentAggregate, int96 difference, uint64 confidence) =
            abi.decode(feedData.data, (uint64, uint256, uint256, int96, uint64));
        if (feedData.timestamp <= _forward[expiry].timestamp) return;
        if (feedData.timestamp > expiry) revert LFF_InvalidFwdDataTimestamp();
        _checkConfidence(confidence);
        SettlementDetails memory settlement;
        if (feedData.timestamp + SETTLEMENT_TWAP_DURATION > expiry) {
            if (startAggregate >= currentAggregate) revert LFF_InvalidSettlementData();
            settlement = SettlementDetails(startAggregate, currentAggregate);
            _settlement[expiry] = settlement;
        }
        ForwardDetails memory detail = ForwardDetails(difference, confidence, feedData.timestamp);
        _forward[expiry] = detail;
        emit ForwardDataUpdated(expiry, detail, settlement);
    }

    function _average(uint64 expiry) private view returns (uint256) {
        SettlementDetails memory detail = _settlement[expiry];
        return (detail.currentSpotAggregate - detail.settlementStartAggregate) / SETTLEMENT_TWAP_DURATION;
    }

    function _checkReadable(uint64 expiry, uint64 timestamp) private view {
        if (timestamp == 0) revert LFF_MissingExpiryData();
        // The settlement price stands for good.
        if (timestamp == expiry) return;
        _checkFresh(timestamp);
        bool settling = block.timestamp + SETTLEMENT_TWAP_DURATION > expiry;
        if (settling && timestamp + settlementHeartbeat < block.timestamp) revert LFF_SettlementDataTooOld();
    }
}
