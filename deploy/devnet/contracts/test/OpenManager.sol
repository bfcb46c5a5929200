// SPDX-License-Identifier: Apache-2.0
// A manager that allows everything and settles what it is told to, for tests of cash alone. Tests only: it
// checks no risk and obeys anyone.
pragma solidity 0.8.30;

import {AssetDelta, ICash, ISubAccounts} from "../Interfaces.sol";

contract OpenManager {
    ISubAccounts public immutable subAccounts;
    address public immutable cash;

    constructor(address subAccounts_, address cash_) {
        subAccounts = ISubAccounts(subAccounts_);
        cash = cash_;
    }

    // Print (+) or burn (-) cash as the settlement of a perpetual or an option does.
    function settle(uint256 accountId, int256 amount) external {
        subAccounts.managerAdjustment(accountId, cash, 0, amount);
        ICash(cash).updateSettledCash(amount);
    }

    function handleAdjustment(uint256, uint256, address, AssetDelta[] calldata, bytes calldata) external {}
}
