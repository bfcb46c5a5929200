// SPDX-License-Identifier: Apache-2.0
// The implied volatility of each expiry as one SVI smile, pushed. It must not know options or accounts.
pragma solidity 0.8.30;

import {FeedData, IVolFeed} from "../Interfaces.sol";
import {Svi} from "../libraries/Svi.sol";
import {SignedFeed} from "./SignedFeed.sol";

contract LyraVolFeed is SignedFeed, IVolFeed {
    struct VolDetails {
        int256 SVI_a;
        uint256 SVI_b;
        int256 SVI_rho;
        int256 SVI_m;
        uint256 SVI_sigma;
        uint256 SVI_fwd;
        uint64 SVI_refTau;
        uint64 confidence;
        uint64 timestamp;
    }

    event VolDataUpdated(uint64 indexed expiry, VolDetails volDetails);

    error LVF_MissingExpiryData();
    error LVF_InvalidVolDataTimestamp();

    mapping(uint64 => VolDetails) private _details;

    constructor() SignedFeed("LyraVolFeed") {}

    function getVol(uint128 strike, uint64 expiry) external view returns (uint256 vol, uint256 confidence) {
        VolDetails storage detail = _fresh(expiry);
        confidence = detail.confidence;
        vol = Svi.volatility(
            strike,
            Svi.Smile({
                a: detail.SVI_a,
                b: detail.SVI_b,
                rho: detail.SVI_rho,
                m: detail.SVI_m,
                sigma: detail.SVI_sigma,
                forward: detail.SVI_fwd,
                tau: detail.SVI_refTau
            })
        );
    }

    function getExpiryMinConfidence(uint64 expiry) external view returns (uint256) {
        return _fresh(expiry).confidence;
    }

    function acceptData(bytes calldata data) external {
        FeedData memory feedData = _open(data);
        uint64 expiry = abi.decode(feedData.data, (uint64));
        if (feedData.timestamp <= _details[expiry].timestamp) return;
        if (feedData.timestamp > expiry) revert LVF_InvalidVolDataTimestamp();
        VolDetails memory detail = _decode(feedData.data);
        _checkConfidence(detail.confidence);
        detail.timestamp = feedData.timestamp;
        _details[expiry] = detail;
        emit VolDataUpdated(expiry, detail);
    }

    function _fresh(uint64 expiry) private view returns (VolDetails storage detail) {
        detail = _details[expiry];
        uint64 timestamp = detail.timestamp;
        if (timestamp == 0) revert LVF_MissingExpiryData();
        _checkFresh(timestamp);
    }

    function _decode(bytes memory data) private pure returns (VolDetails memory detail) {
        (
            ,
            detail.SVI_a,
            detail.SVI_b,
            detail.SVI_rho,
            detail.SVI_m,
            detail.SVI_sigma,
            detail.SVI_fwd,
            detail.SVI_refTau,
            detail.confidence
        ) = abi.decode(data, (uint64, int256, uint256, int256, int256, uint256, uint256, uint64, uint64));
    }
}
