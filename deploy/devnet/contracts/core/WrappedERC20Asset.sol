// SPDX-License-Identifier: Apache-2.0
// A token held as collateral: never negative, 18 decimals inside. It must not know its price.
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";
import {IAsset} from "../Interfaces.sol";
import {ManagerWhitelist} from "./ManagerWhitelist.sol";
import {IDecimals} from "./CashAsset.sol";

contract WrappedERC20Asset is ManagerWhitelist, IAsset {
    error WERC_CannotBeNegative();
    error WERC_InvalidSubId();
    error WERC_OnlyAccountOwner();

    address public immutable wrappedAsset;
    uint8 internal immutable _decimals;

    constructor(address subAccounts_, address wrappedAsset_) ManagerWhitelist(subAccounts_) {
        wrappedAsset = wrappedAsset_;
        _decimals = IDecimals(wrappedAsset_).decimals();
    }

    function deposit(uint256 accountId, uint256 amount) external {
        SafeTransferLib.safeTransferFrom(wrappedAsset, msg.sender, address(this), amount);
        subAccounts.assetAdjustment(accountId, 0, int256(_to18(amount)), true);
    }

    function withdraw(uint256 accountId, uint256 amount, address recipient) external {
        if (msg.sender != subAccounts.ownerOf(accountId)) revert WERC_OnlyAccountOwner();
        SafeTransferLib.safeTransfer(wrappedAsset, recipient, amount);
        subAccounts.assetAdjustment(accountId, 0, -int256(_to18(amount)), true);
    }

    function handleAdjustment(uint256, uint256 subId, int256 amount, int256 preBalance, address manager)
        external
        view
        onlySubAccounts
        returns (int256 finalBalance, bool needAllowance)
    {
        _checkManager(manager);
        if (subId != 0) revert WERC_InvalidSubId();
        finalBalance = preBalance + amount;
        if (finalBalance < 0) revert WERC_CannotBeNegative();
        needAllowance = amount < 0;
    }

    function _to18(uint256 amount) internal view returns (uint256) { return amount * 10 ** (18 - _decimals); }
}
