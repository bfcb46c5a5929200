// SPDX-License-Identifier: Apache-2.0
// The fund that pays for insolvent accounts, held as one account of its own. It is that account's manager
// too: the account only ever holds cash, so it has no margin to check.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";
import {AssetTransfer, AssetDelta, ICash, ISecurityModule, ISubAccounts} from "../Interfaces.sol";

contract SecurityModule is Ownable, ISecurityModule {
    event SecurityModulePaidOut(uint256 accountId, uint256 cashAmountNeeded, uint256 cashAmountPaid);
    event ModuleWhitelisted(address module, bool whitelisted);

    error SM_NotWhitelisted();
    error SM_OnlyCash();

    ISubAccounts public immutable subAccounts;
    address public immutable cashAsset;
    uint256 public immutable accountId;
    mapping(address => bool) public isWhitelisted;

    constructor(address subAccounts_, address cash_) {
        _initializeOwner(msg.sender);
        subAccounts = ISubAccounts(subAccounts_);
        cashAsset = cash_;
        accountId = ISubAccounts(subAccounts_).createAccount(address(this), address(this));
    }

    function setWhitelistModule(address module, bool whitelisted) external onlyOwner {
        isWhitelisted[module] = whitelisted;
        emit ModuleWhitelisted(module, whitelisted);
    }

    // As much of what is needed as there is.
    function requestPayout(uint256 targetAccount, uint256 cashAmountNeeded) external returns (uint256 paid) {
        if (!isWhitelisted[msg.sender]) revert SM_NotWhitelisted();
        int256 held = ICash(cashAsset).calculateBalanceWithInterest(accountId);
        if (held > 0) paid = uint256(held) < cashAmountNeeded ? uint256(held) : cashAmountNeeded;
        if (paid > 0) {
            AssetTransfer memory payout =
                AssetTransfer(accountId, targetAccount, cashAsset, 0, int256(paid), bytes32(0));
            subAccounts.submitTransfer(payout, "");
        }
        emit SecurityModulePaidOut(targetAccount, cashAmountNeeded, paid);
    }

    function handleAdjustment(uint256, uint256, address, AssetDelta[] calldata deltas, bytes calldata) external view {
        for (uint256 i = 0; i < deltas.length; ++i) {
            if (deltas[i].asset != cashAsset) revert SM_OnlyCash();
        }
    }
}
