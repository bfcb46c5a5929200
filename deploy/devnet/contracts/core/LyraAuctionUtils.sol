// SPDX-License-Identifier: Apache-2.0
// One-transaction services for liquidators: margin at the worst scenario, start + fund + bid, restart.
// It must not hold anything between calls.
pragma solidity 0.8.30;

import {AssetBalance, AssetTransfer, ISubAccounts} from "../Interfaces.sol";
import {DutchAuction} from "./DutchAuction.sol";

interface IPortfolioMargin {
    function getMarginAndMtM(uint256 accountId, bool isInitial) external view returns (int256, int256, uint256);
}

interface IERC721Move { function transferFrom(address from, address to, uint256 id) external payable; }

contract LyraAuctionUtils {
    error LAU_NotOwner();

    // What one call was asked to do, off the stack.
    struct Request {
        uint256 accountId;
        uint256 bidderId;
        uint256 percent;
        int256 limit;
        uint256 tradeId;
        uint256 cash;
    }

    ISubAccounts public immutable subAccounts;
    DutchAuction public immutable auction;
    address public immutable cash;

    constructor(address subAccounts_, address auction_, address cash_) {
        subAccounts = ISubAccounts(subAccounts_);
        auction = DutchAuction(auction_);
        cash = cash_;
    }

    function getMM(uint256 accountId)
        external
        view
        returns (address manager, int256 mm, int256 mtm, uint256 worstScenario)
    {
        manager = subAccounts.manager(accountId);
        (mm, mtm, worstScenario) = IPortfolioMargin(manager).getMarginAndMtM(accountId, false);
    }

    // Owner check; start if not live; a fresh account; cash into it (this carries managerData, so feeds are
    // updated here and not before the start); bid; merge back if asked.
    function advancedBid(
        uint256 worstScenarioId, uint256 accountId, uint256 bidderId, uint256 percent, int256 priceLimit,
        uint256 expectedLastTradeId, uint256 collateralAmount, bool mergeBack, bytes calldata managerData
    ) external returns (uint256 newBidder) {
        if (subAccounts.ownerOf(bidderId) != msg.sender) revert LAU_NotOwner();
        if (!auction.isAuctionLive(accountId)) auction.startAuction(accountId, worstScenarioId);
        newBidder = _fundAndBid(
            Request(accountId, bidderId, percent, priceLimit, expectedLastTradeId, collateralAmount), managerData
        );
        if (mergeBack) _merge(newBidder, bidderId);
        IERC721Move(address(subAccounts)).transferFrom(address(this), msg.sender, newBidder);
    }

    function _fundAndBid(Request memory request, bytes calldata managerData) internal returns (uint256 newBidder) {
        newBidder = subAccounts.createAccount(address(this), subAccounts.manager(request.bidderId));
        subAccounts.submitTransfer(
            AssetTransfer(request.bidderId, newBidder, cash, 0, int256(request.cash), bytes32(0)), managerData
        );
        auction.bid(request.accountId, newBidder, request.percent, request.limit, request.tradeId);
    }

    function _merge(uint256 fromId, uint256 toId) internal {
        AssetBalance[] memory held = subAccounts.getAccountBalances(fromId);
        AssetTransfer[] memory transfers = new AssetTransfer[](held.length);
        for (uint256 i = 0; i < held.length; ++i) {
            transfers[i] = AssetTransfer(fromId, toId, held[i].asset, held[i].subId, held[i].balance, bytes32(0));
        }
        subAccounts.submitTransfers(transfers, "");
    }

    // A solvent auction whose account has gone under: end it and start it again as insolvent.
    function startInsolventAuction(uint256 accountId, uint256 scenarioId) external {
        auction.terminateAuction(accountId);
        auction.startAuction(accountId, scenarioId);
    }
}
