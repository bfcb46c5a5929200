// SPDX-License-Identifier: Apache-2.0
// Which risk managers an asset trusts, and the guard every asset puts before its hook.
// It must not know what the asset is.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {ISubAccounts} from "../Interfaces.sol";

abstract contract ManagerWhitelist is Ownable {
    event WhitelistManagerSet(address manager, bool whitelisted);

    error MW_OnlySubAccounts();
    error MW_UnknownManager();
    error MW_OnlyAccountManager();

    ISubAccounts public immutable subAccounts;
    mapping(address => bool) public whitelistedManager;

    constructor(address subAccounts_) {
        _initializeOwner(msg.sender);
        subAccounts = ISubAccounts(subAccounts_);
    }

    modifier onlySubAccounts() {
        if (msg.sender != address(subAccounts)) revert MW_OnlySubAccounts();
        _;
    }

    function setWhitelistManager(address manager, bool whitelisted) external onlyOwner {
        whitelistedManager[manager] = whitelisted;
        emit WhitelistManagerSet(manager, whitelisted);
    }

    function _checkManager(address manager) internal view {
        if (!whitelistedManager[manager]) revert MW_UnknownManager();
    }
}
