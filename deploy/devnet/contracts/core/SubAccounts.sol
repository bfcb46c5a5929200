// SPDX-License-Identifier: Apache-2.0
// The book of record: who owns which account, which risk manager margins it, and what it holds.
// It must not know what any asset is worth or what any manager requires.
pragma solidity 0.8.30;

import {ERC721} from "solady/src/tokens/ERC721.sol";
import {Ownable} from "solady/src/auth/Ownable.sol";
import {AssetTransfer, AssetBalance, AssetDelta, IAsset, IManager} from "../Interfaces.sol";

// One account to be written by `seed`.
struct SeedAccount { address owner; address manager; AssetBalance[] balances; }

contract SubAccounts is ERC721, Ownable {
    event AccountCreated(address indexed owner, uint256 indexed accountId, address indexed manager);
    event BalanceAdjusted(
        uint256 indexed accountId, address indexed manager, bytes32 indexed assetAndSubId,
        int256 amount, int256 preBalance, int256 postBalance, uint256 tradeId
    );

    error AC_NotOwnerOrApproved();
    error AC_OnlyAsset();
    error AC_OnlyManager();
    error AC_CannotTransferAssetToOneself();
    error AC_TooManyHeldAssets();
    error DL_DeltasTooLong();

    // Balance and place in `_heldAssets` share a word, so that a change costs one storage slot.
    struct BalanceAndOrder { int240 balance; uint16 order; }
    // What a batch did to one account, for the single manager call at its end.
    struct Touched { uint256 accountId; uint256 count; AssetDelta[] deltas; }

    uint256 internal constant MAX_DELTAS = 100;

    uint256 public lastAccountId;
    uint256 public lastTradeId;
    mapping(uint256 => address) public manager;
    mapping(uint256 => uint256) public lastAccountTradeId;
    mapping(uint256 => mapping(address => mapping(uint256 => BalanceAndOrder))) internal _balances;
    // asset << 96 | subId, one word an asset.
    mapping(uint256 => bytes32[]) internal _heldAssets;

    constructor() { _initializeOwner(msg.sender); }

    function name() public pure override returns (string memory) { return "Subaccounts"; }
    function symbol() public pure override returns (string memory) { return "SUB"; }
    function tokenURI(uint256) public pure override returns (string memory) { return ""; }

    // ------------------------------------------------------------------------------ accounts

    function createAccount(address accountOwner, address accountManager) external returns (uint256) {
        return _createAccount(accountOwner, accountManager);
    }

    function _createAccount(address accountOwner, address accountManager) internal returns (uint256 accountId) {
        accountId = ++lastAccountId;
        manager[accountId] = accountManager;
        _mint(accountOwner, accountId);
        emit AccountCreated(accountOwner, accountId, accountManager);
    }

    // ----------------------------------------------------------------------------- transfers

    function submitTransfer(AssetTransfer calldata transfer, bytes calldata managerData)
        external
        returns (uint256 tradeId)
    {
        tradeId = ++lastTradeId;
        Touched[] memory touched = new Touched[](2);
        uint256 count = _transfer(transfer, tradeId, touched, 0, 1);
        _callManagers(touched, count, tradeId, managerData);
    }

    function submitTransfers(AssetTransfer[] calldata transfers, bytes calldata managerData)
        external
        returns (uint256 tradeId)
    {
        tradeId = ++lastTradeId;
        Touched[] memory touched = new Touched[](transfers.length * 2);
        uint256 count;
        for (uint256 i = 0; i < transfers.length; ++i) {
            count = _transfer(transfers[i], tradeId, touched, count, transfers.length);
        }
        _callManagers(touched, count, tradeId, managerData);
    }

    // Both legs of one transfer; returns how many accounts the batch has touched so far.
    function _transfer(
        AssetTransfer calldata transfer, uint256 tradeId, Touched[] memory touched, uint256 count, uint256 batch
    ) internal returns (uint256) {
        if (transfer.from == transfer.to) revert AC_CannotTransferAssetToOneself();
        _leg(transfer.from, transfer, -transfer.amount, tradeId);
        _leg(transfer.to, transfer, transfer.amount, tradeId);
        count = _note(touched, count, transfer.from, transfer, -transfer.amount, batch);
        return _note(touched, count, transfer.to, transfer, transfer.amount, batch);
    }

    function _leg(uint256 accountId, AssetTransfer calldata transfer, int256 amount, uint256 tradeId) internal {
        address accountManager = manager[accountId];
        (, bool needAllowance) =
            _adjust(accountId, transfer.asset, transfer.subId, amount, tradeId, true, accountManager);
        // Receiving what can only add value needs nobody's leave; anything else needs the owner's.
        if (needAllowance && !_isApprovedOrOwner(msg.sender, accountId)) revert AC_NotOwnerOrApproved();
    }

    function _note(
        Touched[] memory touched, uint256 count, uint256 accountId, AssetTransfer calldata transfer,
        int256 amount, uint256 batch
    ) internal pure returns (uint256) {
        uint256 i;
        while (i < count && touched[i].accountId != accountId) ++i;
        if (i == count) {
            uint256 room = batch < MAX_DELTAS ? batch : MAX_DELTAS;
            touched[count++] = Touched(accountId, 0, new AssetDelta[](room));
        }
        Touched memory entry = touched[i];
        for (uint256 j = 0; j < entry.count; ++j) {
            AssetDelta memory seen = entry.deltas[j];
            if (seen.asset == transfer.asset && seen.subId == transfer.subId) {
                seen.delta += amount;
                return count;
            }
        }
        if (entry.count == MAX_DELTAS) revert DL_DeltasTooLong();
        entry.deltas[entry.count++] = AssetDelta(transfer.asset, transfer.subId, amount);
        return count;
    }

    function _callManagers(
        Touched[] memory touched, uint256 count, uint256 tradeId, bytes calldata managerData
    ) internal {
        for (uint256 i = 0; i < count; ++i) {
            AssetDelta[] memory deltas = touched[i].deltas;
            uint256 used = touched[i].count;
            // The array was sized for the whole batch; the manager must see only what this account did.
            assembly ("memory-safe") { mstore(deltas, used) }
            uint256 accountId = touched[i].accountId;
            IManager(manager[accountId]).handleAdjustment(accountId, tradeId, msg.sender, deltas, managerData);
        }
    }

    // --------------------------------------------------- changes by the asset and by the manager

    function assetAdjustment(uint256 accountId, uint256 subId, int256 amount, bool triggerAssetHook)
        external
        returns (int256 postBalance)
    {
        // The asset is the caller, so nobody can adjust an asset that is not theirs.
        if (msg.sender.code.length == 0) revert AC_OnlyAsset();
        uint256 tradeId = ++lastTradeId;
        address accountManager = manager[accountId];
        (postBalance,) = _adjust(accountId, msg.sender, subId, amount, tradeId, triggerAssetHook, accountManager);
        AssetDelta[] memory deltas = new AssetDelta[](1);
        deltas[0] = AssetDelta(msg.sender, subId, amount);
        IManager(accountManager).handleAdjustment(accountId, tradeId, msg.sender, deltas, "");
    }

    // An account's own manager may do anything to it; any other manager may only credit it (a liquidation
    // fee to the security module's account). The asset's hook refuses callers that are not its managers.
    function managerAdjustment(uint256 accountId, address asset, uint256 subId, int256 amount)
        external
        returns (int256 postBalance)
    {
        if (msg.sender != manager[accountId] && amount < 0) revert AC_OnlyManager();
        (postBalance,) = _adjust(accountId, asset, subId, amount, ++lastTradeId, true, msg.sender);
    }

    function _adjust(
        uint256 accountId, address asset, uint256 subId, int256 amount, uint256 tradeId, bool hook, address caller
    ) internal returns (int256 post, bool needAllowance) {
        BalanceAndOrder storage entry = _balances[accountId][asset][subId];
        int256 pre = entry.balance;
        lastAccountTradeId[accountId] = tradeId;
        if (hook) {
            (post, needAllowance) = IAsset(asset).handleAdjustment(accountId, subId, amount, pre, caller);
        } else {
            post = pre + amount;
        }
        _store(accountId, entry, _pack(asset, subId), pre, post);
        emit BalanceAdjusted(accountId, manager[accountId], _pack(asset, subId), amount, pre, post, tradeId);
    }

    function _store(uint256 accountId, BalanceAndOrder storage entry, bytes32 packed, int256 pre, int256 post)
        internal
    {
        int240 narrow = int240(post);
        require(narrow == post);
        entry.balance = narrow;
        if (pre == 0 && post != 0) {
            uint256 length = _heldAssets[accountId].length;
            if (length >= type(uint16).max) revert AC_TooManyHeldAssets();
            entry.order = uint16(length);
            _heldAssets[accountId].push(packed);
        } else if (pre != 0 && post == 0) {
            _release(accountId, entry.order);
            entry.order = 0;
        }
    }

    // Swap with the last and pop: the order of the list is part of what a keeper may see.
    function _release(uint256 accountId, uint256 order) internal {
        bytes32[] storage held = _heldAssets[accountId];
        uint256 last = held.length - 1;
        if (order != last) {
            bytes32 moved = held[last];
            held[order] = moved;
            _balances[accountId][address(bytes20(moved))][uint96(uint256(moved))].order = uint16(order);
        }
        held.pop();
    }

    function _pack(address asset, uint256 subId) internal pure returns (bytes32) {
        require(subId <= type(uint96).max);
        return bytes32((uint256(uint160(asset)) << 96) | subId);
    }

    // -------------------------------------------------------------------------------- seeding

    // Owner only, development venue only: open accounts with balances, with the normal asset hooks and
    // events but no counterparty and no risk check, so that a book of any shape can stand in seconds.
    function seed(SeedAccount[] calldata accounts) external onlyOwner returns (uint256 firstAccountId) {
        firstAccountId = lastAccountId + 1;
        uint256 tradeId = ++lastTradeId;
        for (uint256 i = 0; i < accounts.length; ++i) {
            address accountManager = accounts[i].manager;
            uint256 accountId = _createAccount(accounts[i].owner, accountManager);
            AssetBalance[] calldata held = accounts[i].balances;
            for (uint256 j = 0; j < held.length; ++j) {
                _adjust(accountId, held[j].asset, held[j].subId, held[j].balance, tradeId, true, accountManager);
            }
        }
    }

    // ---------------------------------------------------------------------------------- views

    function getBalance(uint256 accountId, address asset, uint256 subId) external view returns (int256) {
        return _balances[accountId][asset][subId].balance;
    }

    function getAccountBalances(uint256 accountId) external view returns (AssetBalance[] memory balances) {
        bytes32[] storage held = _heldAssets[accountId];
        balances = new AssetBalance[](held.length);
        for (uint256 i = 0; i < balances.length; ++i) {
            bytes32 packed = held[i];
            address asset = address(bytes20(packed));
            uint256 subId = uint96(uint256(packed));
            balances[i] = AssetBalance(asset, subId, _balances[accountId][asset][subId].balance);
        }
    }
}
