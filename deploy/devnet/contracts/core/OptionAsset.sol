// SPDX-License-Identifier: Apache-2.0
// The options of one underlying: the number that names each, and what one is worth at settlement.
// It must not know volatility or margin.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {IAsset, IOption, ISettlementFeed} from "../Interfaces.sol";
import {ManagerWhitelist} from "./ManagerWhitelist.sol";

contract OptionAsset is ManagerWhitelist, IAsset, IOption {
    event SettlementFeedSet(address settlementFeed);

    error OE_StrikeNot8Decimals();
    error OE_InvalidSubId();

    ISettlementFeed public settlementFeed;

    constructor(address subAccounts_, address settlementFeed_) ManagerWhitelist(subAccounts_) {
        settlementFeed = ISettlementFeed(settlementFeed_);
    }

    function setSettlementFeed(address feed) external onlyOwner {
        settlementFeed = ISettlementFeed(feed);
        emit SettlementFeedSet(feed);
    }

    function handleAdjustment(uint256, uint256 subId, int256 amount, int256 preBalance, address manager)
        external
        view
        onlySubAccounts
        returns (int256 finalBalance, bool needAllowance)
    {
        _checkManager(manager);
        if (subId == 0 || subId > type(uint96).max) revert OE_InvalidSubId();
        return (preBalance + amount, amount < 0);
    }

    // Cash settled: amount * intrinsic value at the settlement price; (0, false) until there is one.
    function calcSettlementValue(uint256 subId, int256 balance) external view returns (int256 payout, bool settled) {
        (uint256 expiry, uint256 strike, bool isCall) = getOptionDetails(uint96(subId));
        uint256 price;
        (settled, price) = settlementFeed.getSettlementPrice(uint64(expiry));
        if (!settled) return (0, false);
        uint256 value = isCall ? Fp.zeroFloorSub(price, strike) : Fp.zeroFloorSub(strike, price);
        payout = Fp.sMulWad(balance, int256(value));
    }

    function getOptionDetails(uint96 subId) public pure returns (uint256 expiry, uint256 strike, bool isCall) {
        expiry = uint32(subId);
        strike = uint256(uint96(subId << 1) >> 33) * 1e10;
        isCall = (subId >> 95) == 1;
    }

    function getSubId(uint256 expiry, uint256 strike, bool isCall) external pure returns (uint96) {
        if (strike % 1e10 != 0) revert OE_StrikeNot8Decimals();
        require(expiry <= type(uint32).max && strike / 1e10 < 2 ** 63);
        return uint96(expiry | (strike / 1e10) << 32 | (isCall ? 1 : 0) << 95);
    }
}
