// SPDX-License-Identifier: Apache-2.0
// Cash of every account: deposits, borrows, interest by two indexes, printed cash, socialised losses.
// It must not know margin: whether an account may borrow is its manager's answer.
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";
import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {IAuction, IAsset, ICash} from "../Interfaces.sol";
import {ManagerWhitelist} from "./ManagerWhitelist.sol";
import {InterestRateModel} from "./InterestRateModel.sol";

interface IDecimals { function decimals() external view returns (uint8); }

contract CashAsset is ManagerWhitelist, IAsset, ICash {
    event InterestAccrued(
        uint256 interestAccrued, uint256 borrowIndex, uint256 supplyIndex, uint256 totalSupply, uint256 totalBorrow
    );
    event InterestAccruedOnAccount(
        uint256 indexed accountId, int256 preBalance, int256 interestAccrued, uint256 accountIndex
    );
    event SettledCashUpdated(int256 amountChanged, int256 currentSettledCash);
    event SmFeeSet(uint256 fee);
    event InterestRateModelSet(address rateModel);
    event WithdrawFeeEnabled(uint256 exchangeRate);
    event WithdrawFeeDisabled(uint256 exchangeRate);

    error CA_WithdrawBlockedByOngoingAuction();
    error CA_OnlyAccountOwner();
    error CA_NotLiquidationModule();
    error CA_InvalidSubId();
    error CA_SmFeeInvalid();

    address public immutable wrappedAsset;
    uint8 internal immutable _decimals;

    InterestRateModel public rateModel;
    address public liquidationModule;
    uint256 public smId;

    uint256 public totalSupply;
    uint256 public totalBorrow;
    uint256 public borrowIndex = 1e18;
    uint256 public supplyIndex = 1e18;
    uint256 public lastTimestamp;
    int256 public netSettledCash;
    uint256 public accruedSmFees;
    uint256 public smFeePercentage;
    uint256 public previousSmFeePercentage;
    bool public temporaryWithdrawFeeEnabled;
    mapping(uint256 => uint256) public accountIdIndex;

    constructor(address subAccounts_, address wrappedAsset_, address rateModel_) ManagerWhitelist(subAccounts_) {
        wrappedAsset = wrappedAsset_;
        _decimals = IDecimals(wrappedAsset_).decimals();
        rateModel = InterestRateModel(rateModel_);
        lastTimestamp = block.timestamp;
    }

    // ---------------------------------------------------------------------------------- owner

    function setInterestRateModel(address model) external onlyOwner {
        _accrue();
        rateModel = InterestRateModel(model);
        emit InterestRateModelSet(model);
    }

    function setSmFee(uint256 fee) external onlyOwner {
        if (fee > 1e18) revert CA_SmFeeInvalid();
        _accrue();
        smFeePercentage = fee;
        emit SmFeeSet(fee);
    }

    function setLiquidationModule(address module) external onlyOwner { liquidationModule = module; }

    function setSmFeeRecipient(uint256 accountId) external onlyOwner { smId = accountId; }

    // -------------------------------------------------------------------- deposits, withdrawals

    function deposit(uint256 accountId, uint256 amount) external { _deposit(accountId, amount); }

    function depositToNewAccount(address recipient, uint256 amount, address manager)
        external
        returns (uint256 accountId)
    {
        accountId = subAccounts.createAccount(recipient, manager);
        _deposit(accountId, amount);
    }

    function _deposit(uint256 accountId, uint256 amount) internal {
        SafeTransferLib.safeTransferFrom(wrappedAsset, msg.sender, address(this), amount);
        subAccounts.assetAdjustment(accountId, 0, int256(_to18(amount)), true);
    }

    // After a socialised loss each unit of cash buys only `exchangeRate` of a token.
    function withdraw(uint256 accountId, uint256 amount, address recipient) external {
        if (msg.sender != subAccounts.ownerOf(accountId)) revert CA_OnlyAccountOwner();
        if (IAuction(liquidationModule).getIsWithdrawBlocked()) revert CA_WithdrawBlockedByOngoingAuction();
        _accrue();
        uint256 burned = _to18(amount);
        if (temporaryWithdrawFeeEnabled) burned = Fp.divWad(burned, _exchangeRate());
        SafeTransferLib.safeTransfer(wrappedAsset, recipient, amount);
        subAccounts.assetAdjustment(accountId, 0, -int256(burned), true);
    }

    // ------------------------------------------------------------------------------- interest

    function accrueInterest() external { _accrue(); }

    function calculateBalanceWithInterest(uint256 accountId) external returns (int256) {
        _accrue();
        return _withInterest(accountId, subAccounts.getBalance(accountId, address(this), 0));
    }

    // A = B * (exp(dt * rate / year) - 1), the security module's share set aside, both indexes scaled.
    function _accrue() internal {
        uint256 elapsed = block.timestamp - lastTimestamp;
        if (elapsed == 0) return;
        lastTimestamp = block.timestamp;
        uint256 borrow = totalBorrow;
        if (borrow == 0) return;
        uint256 supply = totalSupply;
        uint256 realSupply = supply + (netSettledCash < 0 ? uint256(-netSettledCash) : 0);
        uint256 rate = rateModel.getBorrowRate(realSupply, borrow);
        uint256 interest = Fp.mulWad(borrow, rateModel.getBorrowInterestFactor(elapsed, rate));
        uint256 fee = Fp.mulWad(interest, smFeePercentage);
        accruedSmFees += fee;
        totalBorrow = borrow + interest;
        borrowIndex = Fp.mulWad(borrowIndex, Fp.divWad(borrow + interest, borrow));
        if (supply > 0) {
            totalSupply = supply + interest - fee;
            supplyIndex = Fp.mulWad(supplyIndex, Fp.divWad(supply + interest - fee, supply));
        }
        emit InterestAccrued(interest, borrowIndex, supplyIndex, totalSupply, totalBorrow);
    }

    function _withInterest(uint256 accountId, int256 stored) internal view returns (int256) {
        uint256 index = accountIdIndex[accountId];
        if (stored == 0 || index == 0) return stored;
        uint256 current = stored < 0 ? borrowIndex : supplyIndex;
        // One division, so that an account settled in this block keeps its balance to the wei.
        int256 size = int256(Fp.fullMulDiv(Fp.abs(stored), current, index));
        return stored < 0 ? -size : size;
    }

    // -------------------------------------------------------------------------- SubAccounts' hook

    function handleAdjustment(uint256 accountId, uint256 subId, int256 amount, int256 preBalance, address manager)
        external
        onlySubAccounts
        returns (int256 finalBalance, bool needAllowance)
    {
        _checkManager(manager);
        if (subId != 0) revert CA_InvalidSubId();
        _accrue();
        int256 pre = _withInterest(accountId, preBalance);
        finalBalance = pre + amount;
        uint256 index = finalBalance < 0 ? borrowIndex : finalBalance > 0 ? supplyIndex : 0;
        accountIdIndex[accountId] = index;
        emit InterestAccruedOnAccount(accountId, preBalance, pre - preBalance, index);
        _moveTotals(pre, finalBalance);
        needAllowance = amount < 0;
    }

    function _moveTotals(int256 pre, int256 post) internal {
        // Each account's truncation is up to a wei, so the totals may run a few wei behind the sum.
        int256 supply = int256(totalSupply) + _positive(post) - _positive(pre);
        int256 borrow = int256(totalBorrow) + _positive(-post) - _positive(-pre);
        totalSupply = supply > 0 ? uint256(supply) : 0;
        totalBorrow = borrow > 0 ? uint256(borrow) : 0;
    }

    function _positive(int256 x) internal pure returns (int256) { return x > 0 ? x : int256(0); }

    // ------------------------------------------------------- printing: settlement and lost cash

    // A manager printed (+) or burned (-) cash when it settled perpetuals or options.
    function updateSettledCash(int256 amount) external {
        _checkManager(msg.sender);
        netSettledCash += amount;
        emit SettledCashUpdated(amount, netSettledCash);
    }

    function socializeLoss(uint256 lossAmount, uint256 accountToReceive) external {
        if (msg.sender != liquidationModule) revert CA_NotLiquidationModule();
        _accrue();
        subAccounts.assetAdjustment(accountToReceive, 0, int256(lossAmount), true);
        uint256 rate = _exchangeRate();
        if (rate >= 1e18) return;
        if (!temporaryWithdrawFeeEnabled) {
            previousSmFeePercentage = smFeePercentage;
            smFeePercentage = 1e18;
            temporaryWithdrawFeeEnabled = true;
        }
        emit WithdrawFeeEnabled(rate);
    }

    // Anyone may ask; the event comes even when nothing changes.
    function disableWithdrawFee() external {
        _accrue();
        uint256 rate = _exchangeRate();
        if (temporaryWithdrawFeeEnabled && rate >= 1e18) {
            smFeePercentage = previousSmFeePercentage;
            temporaryWithdrawFeeEnabled = false;
        }
        emit WithdrawFeeDisabled(rate);
    }

    // Hand the interest set aside so far to the security module's account.
    function transferSmFees() external {
        _accrue();
        uint256 amount = accruedSmFees;
        accruedSmFees = 0;
        subAccounts.assetAdjustment(smId, 0, int256(amount), true);
    }

    function getCashToStableExchangeRate() external view returns (uint256) { return _exchangeRate(); }

    // What backs the cash (tokens held, what borrowers owe, what was printed) over what is owed.
    function _exchangeRate() internal view returns (uint256) {
        uint256 owed = totalSupply + accruedSmFees;
        if (owed == 0) return 1e18;
        uint256 tokens = _to18(SafeTransferLib.balanceOf(wrappedAsset, address(this)));
        int256 backing = int256(tokens + totalBorrow) + netSettledCash;
        return backing > 0 ? Fp.divWad(uint256(backing), owed) : 0;
    }

    function _to18(uint256 amount) internal view returns (uint256) {
        return amount * 10 ** (18 - _decimals);
    }
}
