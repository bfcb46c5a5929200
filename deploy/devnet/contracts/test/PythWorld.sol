// SPDX-License-Identifier: Apache-2.0
// Pyth's own mock under a name of ours, so that our compiler finds it. It must not add anything.
pragma solidity 0.8.30;

import {MockPyth} from "@pythnetwork/pyth-sdk-solidity/MockPyth.sol";

contract PythWorld is MockPyth {
    constructor(uint256 validTimePeriod, uint256 updateFeeWei) MockPyth(validTimePeriod, updateFeeWei) {}
}
