// SPDX-License-Identifier: Apache-2.0
// The parameters of the margin method: kept, set by the owner, shown to anybody. It must not compute.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {
    BasisContingencyParams,
    CollateralParameters,
    MarginParams,
    OtherContingencyParams,
    SkewShockParams,
    VolShockParams
} from "./PMRMTypes.sol";

abstract contract PMRMParameters is Ownable {
    event BasisContingencyParamsUpdated(BasisContingencyParams basisContingencyParams);
    event OtherContingencyParamsUpdated(OtherContingencyParams otherContingencyParams);
    event MarginParamsUpdated(MarginParams marginParams);
    event VolShockParamsUpdated(VolShockParams volShockParams);
    event SkewShockParamsUpdated(SkewShockParams skewShockParams);
    event CollateralParametersUpdated(address asset, CollateralParameters params);

    BasisContingencyParams internal _basis;
    OtherContingencyParams internal _other;
    MarginParams internal _margin;
    VolShockParams internal _volShock;
    SkewShockParams internal _skew;
    mapping(address => CollateralParameters) internal _collateral;

    constructor() { _initializeOwner(msg.sender); }

    function setBasisContingencyParams(BasisContingencyParams calldata params) external onlyOwner {
        _basis = params;
        emit BasisContingencyParamsUpdated(params);
    }

    function setOtherContingencyParams(OtherContingencyParams calldata params) external onlyOwner {
        _other = params;
        emit OtherContingencyParamsUpdated(params);
    }

    function setMarginParams(MarginParams calldata params) external onlyOwner {
        _margin = params;
        emit MarginParamsUpdated(params);
    }

    function setVolShockParams(VolShockParams calldata params) external onlyOwner {
        _volShock = params;
        emit VolShockParamsUpdated(params);
    }

    function setSkewShockParams(SkewShockParams calldata params) external onlyOwner {
        _skew = params;
        emit SkewShockParamsUpdated(params);
    }

    function setCollateralParameters(address asset, CollateralParameters calldata params) external onlyOwner {
        _collateral[asset] = params;
        emit CollateralParametersUpdated(asset, params);
    }

    function getBasisContingencyParams() external view returns (BasisContingencyParams memory) { return _basis; }

    function getOtherContingencyParams() external view returns (OtherContingencyParams memory) { return _other; }

    function getMarginParams() external view returns (MarginParams memory) { return _margin; }

    function getVolShockParams() external view returns (VolShockParams memory) { return _volShock; }

    function getSkewShockParams() external view returns (SkewShockParams memory) { return _skew; }

    function getCollateralParameters(address asset) external view returns (CollateralParameters memory) {
        return _collateral[asset];
    }
}
