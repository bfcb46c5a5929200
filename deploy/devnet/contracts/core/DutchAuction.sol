// SPDX-License-Identifier: Apache-2.0
// Liquidation by falling price: an account below maintenance margin is sold by shares to whoever bids first.
// It must not know how margin is computed; it asks the account's manager under one named scenario.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {AssetBalance, IAuction, ICash, IManager, ISecurityModule, ISubAccounts} from "../Interfaces.sol";
import {AuctionMath, AuctionParams} from "./AuctionMath.sol";

struct Auction {
    uint256 accountId;
    uint256 scenarioId;
    bool insolvent;
    bool ongoing;
    uint256 cachedMM;
    uint256 startTime;
    uint256 reservedCash;
}

contract DutchAuction is Ownable, IAuction {
    event SolventAuctionStarted(uint256 accountId, uint256 scenarioId, int256 markToMarket, uint256 fee);
    event InsolventAuctionStarted(uint256 accountId, uint256 scenarioId, int256 maintenanceMargin);
    event Bid(
        uint256 accountId, uint256 bidderId, uint256 finalPercentage, uint256 cashFromBidder, uint256 cashToBidder
    );
    event AuctionEnded(uint256 accountId, uint256 endTime);
    event ScenarioIdUpdated(uint256 accountId, uint256 newScenarioId);
    event AuctionParamsSet(AuctionParams params);
    event MtmCutOffSet(int256 cutoff);
    event ManagerWhitelisted(address manager, bool whitelisted);
    event SMAccountSet(uint256 smAccount);

    error DA_AccountIsAboveMaintenanceMargin();
    error DA_AuctionAlreadyStarted();
    error DA_NotOngoingAuction();
    error DA_AuctionNotStarted();
    error DA_AuctionShouldBeTerminated();
    error DA_AuctionCannotTerminate();
    error DA_SolventAuctionEnded();
    error DA_InvalidBidderPortfolio();
    error DA_InsufficientCash();
    error DA_PriceLimitExceeded();
    error DA_SenderNotOwner();
    error DA_InvalidLastTradeId();
    error DA_CannotBidWithDifferentManager();
    error DA_NotWhitelistedManager();
    error DA_ScenarioIdNotWorse();
    error DA_OngoingSolventAuction();
    error DA_ReservedCashGreaterThanMtM();
    error DA_InvalidPercentage();
    error DA_AuctionAlreadyInInsolvencyMode();
    error DA_InvalidParameter();

    // What the account looks like while a bid on it is worked out; kept together for the stack's sake.
    struct Sale { int256 mm; int256 bm; int256 mtm; uint256 percent; uint256 pay; uint256 payout; bool last; }

    ISubAccounts public immutable subAccounts;
    ISecurityModule public immutable securityModule;
    ICash public immutable cash;

    uint256 public smAccount;
    int256 public mtmCutoff;
    uint256 public totalInsolventMM;
    mapping(address => bool) public managerWhitelisted;
    AuctionParams internal _params;
    mapping(uint256 => Auction) internal _auctions;

    constructor(address subAccounts_, address securityModule_, address cash_) {
        _initializeOwner(msg.sender);
        subAccounts = ISubAccounts(subAccounts_);
        securityModule = ISecurityModule(securityModule_);
        cash = ICash(cash_);
    }

    // ---------------------------------------------------------------------------------- owner

    function setAuctionParams(AuctionParams calldata params) external onlyOwner {
        bool shaped = params.startingMtMPercentage <= 1e18
            && params.fastAuctionCutoffPercentage <= params.startingMtMPercentage && params.slowAuctionLength > 0;
        if (!shaped || params.liquidatorFeeRate > 0.1e18 || params.bufferMarginPercentage > 4e18) {
            revert DA_InvalidParameter();
        }
        _params = params;
        emit AuctionParamsSet(params);
    }

    function setMtmCutoff(int256 cutoff) external onlyOwner {
        if (cutoff < 0 || cutoff > 1000e18) revert DA_InvalidParameter();
        mtmCutoff = cutoff;
        emit MtmCutOffSet(cutoff);
    }

    function setWhitelistManager(address manager, bool whitelisted) external onlyOwner {
        managerWhitelisted[manager] = whitelisted;
        emit ManagerWhitelisted(manager, whitelisted);
    }

    function setSMAccount(uint256 accountId) external onlyOwner {
        smAccount = accountId;
        emit SMAccountSet(accountId);
    }

    // ----------------------------------------------------------------------- start, end, convert

    function startAuction(uint256 accountId, uint256 scenarioId) external {
        IManager manager = _managerOf(accountId);
        manager.settleInterest(accountId);
        manager.settlePerpsWithIndex(accountId);
        (int256 mm, int256 bm, int256 mtm) = getMarginAndMarkToMarket(accountId, scenarioId);
        if (mm >= 0) revert DA_AccountIsAboveMaintenanceMargin();
        if (_auctions[accountId].ongoing) revert DA_AuctionAlreadyStarted();
        _auctions[accountId] = Auction(accountId, scenarioId, false, true, 0, block.timestamp, 0);
        if (mtm <= 0) {
            _makeInsolvent(accountId, scenarioId, mm);
            return;
        }
        uint256 sold = _maxProportion(mtm, bm, 1e18, 0);
        uint256 fee = Fp.mulWad(Fp.mulWad(sold, uint256(mtm)), _params.liquidatorFeeRate);
        if (fee > 0) manager.payLiquidationFee(accountId, smAccount, fee);
        emit SolventAuctionStarted(accountId, scenarioId, mtm, fee);
    }

    // A solvent auction nobody wanted: from here on bidders are paid to take the account.
    function convertToInsolventAuction(uint256 accountId) external {
        Auction storage auction = _auctions[accountId];
        if (!auction.ongoing) revert DA_AuctionNotStarted();
        if (auction.insolvent) revert DA_AuctionAlreadyInInsolvencyMode();
        if (!_solventEnded(auction.startTime)) revert DA_OngoingSolventAuction();
        (int256 mm,,) = getMarginAndMarkToMarket(accountId, auction.scenarioId);
        if (mm >= 0) revert DA_AuctionShouldBeTerminated();
        _makeInsolvent(accountId, auction.scenarioId, mm);
    }

    function _makeInsolvent(uint256 accountId, uint256 scenarioId, int256 mm) internal {
        Auction storage auction = _auctions[accountId];
        auction.insolvent = true;
        auction.cachedMM = uint256(-mm);
        auction.startTime = block.timestamp;
        auction.reservedCash = 0;
        totalInsolventMM += uint256(-mm);
        emit InsolventAuctionStarted(accountId, scenarioId, mm);
    }

    function terminateAuction(uint256 accountId) external {
        if (!_auctions[accountId].ongoing) revert DA_NotOngoingAuction();
        (bool canTerminate,,,) = getAuctionStatus(accountId);
        if (!canTerminate) revert DA_AuctionCannotTerminate();
        _end(accountId);
    }

    function _end(uint256 accountId) internal {
        Auction storage auction = _auctions[accountId];
        auction.ongoing = false;
        if (auction.insolvent) totalInsolventMM -= auction.cachedMM;
        emit AuctionEnded(accountId, block.timestamp);
    }

    function updateScenarioId(uint256 accountId, uint256 newScenarioId) external {
        Auction storage auction = _auctions[accountId];
        if (!auction.ongoing) revert DA_NotOngoingAuction();
        (int256 old,,) = getMarginAndMarkToMarket(accountId, auction.scenarioId);
        (int256 worse,,) = getMarginAndMarkToMarket(accountId, newScenarioId);
        if (worse >= old) revert DA_ScenarioIdNotWorse();
        auction.scenarioId = newScenarioId;
        emit ScenarioIdUpdated(accountId, newScenarioId);
    }

    // ------------------------------------------------------------------------------------ bid

    function bid(
        uint256 accountId, uint256 bidderId, uint256 percentOfAccount, int256 priceLimit, uint256 expectedLastTradeId
    ) external returns (uint256 finalPercentage, uint256 cashFromBidder, uint256 cashToBidder) {
        if (percentOfAccount == 0 || percentOfAccount > 1e18) revert DA_InvalidPercentage();
        if (expectedLastTradeId != 0 && expectedLastTradeId != subAccounts.lastAccountTradeId(accountId)) {
            revert DA_InvalidLastTradeId();
        }
        Sale memory sale = _open(accountId, bidderId);
        sale.percent = percentOfAccount;
        uint256 bidderCash = _onlyCash(bidderId);
        Auction storage auction = _auctions[accountId];
        if (auction.insolvent) _priceInsolvent(auction, sale, bidderCash, priceLimit);
        else _priceSolvent(auction, sale, bidderCash, priceLimit);

        uint256 reserved = auction.reservedCash;
        if (sale.payout > 0) _payOut(bidderId, sale.payout);
        IManager(subAccounts.manager(accountId)).executeBid(accountId, bidderId, sale.percent, sale.pay, reserved);
        if (!auction.insolvent) auction.reservedCash = reserved + sale.pay;
        if (sale.last) _end(accountId);
        emit Bid(accountId, bidderId, sale.percent, sale.pay, sale.payout);
        return (sale.percent, sale.pay, sale.payout);
    }

    // Who may bid on what: checked in this order because a keeper learns from the first refusal.
    function _open(uint256 accountId, uint256 bidderId) internal returns (Sale memory sale) {
        IManager manager = _managerOf(accountId);
        if (subAccounts.manager(bidderId) != address(manager)) revert DA_CannotBidWithDifferentManager();
        manager.settleInterest(accountId);
        manager.settlePerpsWithIndex(accountId);
        if (subAccounts.ownerOf(bidderId) != msg.sender) revert DA_SenderNotOwner();
        if (!_auctions[accountId].ongoing) revert DA_AuctionNotStarted();
        bool canTerminate;
        (canTerminate, sale.mtm, sale.mm, sale.bm) = getAuctionStatus(accountId);
        if (canTerminate) revert DA_AuctionShouldBeTerminated();
    }

    function _onlyCash(uint256 bidderId) internal view returns (uint256) {
        AssetBalance[] memory held = subAccounts.getAccountBalances(bidderId);
        if (held.length != 1 || held[0].asset != address(cash)) revert DA_InvalidBidderPortfolio();
        return uint256(Fp.max(held[0].balance, 0));
    }

    function _priceSolvent(Auction storage auction, Sale memory sale, uint256 bidderCash, int256 priceLimit)
        internal
        view
    {
        if (_solventEnded(auction.startTime)) revert DA_SolventAuctionEnded();
        uint256 share = getDiscountPercentage(auction.startTime, block.timestamp);
        uint256 reserved = auction.reservedCash;
        uint256 most = _maxProportion(sale.mtm, sale.bm, share, reserved);
        if (sale.percent >= most) {
            sale.percent = most;
            sale.last = true;
        }
        sale.pay = Fp.mulWad(_solventPrice(sale.mtm, reserved, share), sale.percent);
        uint256 shortfall = Fp.abs(sale.bm - int256(reserved));
        if (bidderCash < sale.pay + Fp.mulWad(shortfall, sale.percent)) revert DA_InsufficientCash();
        if (priceLimit != 0 && int256(sale.pay) > priceLimit) revert DA_PriceLimitExceeded();
    }

    function _priceInsolvent(Auction storage auction, Sale memory sale, uint256 bidderCash, int256 priceLimit)
        internal
        view
    {
        uint256 elapsed = block.timestamp - auction.startTime;
        int256 price = AuctionMath.insolventPrice(sale.mm, sale.mtm, elapsed, _params.insolventAuctionLength);
        sale.payout = Fp.mulWad(uint256(-price), sale.percent);
        uint256 needed = Fp.mulWad(Fp.abs(sale.mm), sale.percent);
        if (bidderCash + sale.payout < needed) revert DA_InsufficientCash();
        if (priceLimit != 0 && -int256(sale.payout) > priceLimit) revert DA_PriceLimitExceeded();
        sale.last = sale.percent == 1e18;
    }

    // The security module pays first; what it lacks is printed and borne by everyone who holds cash.
    function _payOut(uint256 bidderId, uint256 amount) internal {
        uint256 paid = securityModule.requestPayout(bidderId, amount);
        if (paid < amount) cash.socializeLoss(amount - paid, bidderId);
    }

    function _managerOf(uint256 accountId) internal view returns (IManager) {
        address manager = subAccounts.manager(accountId);
        if (!managerWhitelisted[manager]) revert DA_NotWhitelistedManager();
        return IManager(manager);
    }

    // ---------------------------------------------------------------------------------- views

    function getMarginAndMarkToMarket(uint256 accountId, uint256 scenarioId)
        public
        view
        returns (int256 mm, int256 bm, int256 mtm)
    {
        IManager manager = IManager(subAccounts.manager(accountId));
        (mm, mtm) = manager.getMarginAndMarkToMarket(accountId, false, scenarioId);
        bm = mm + Fp.sMulWad(mm - mtm, int256(_params.bufferMarginPercentage));
    }

    function getAuctionStatus(uint256 accountId)
        public
        view
        returns (bool canTerminate, int256 mtm, int256 mm, int256 bm)
    {
        Auction storage auction = _auctions[accountId];
        (mm, bm, mtm) = getMarginAndMarkToMarket(accountId, auction.scenarioId);
        if (auction.insolvent || _solventEnded(auction.startTime)) canTerminate = mm >= 0;
        else canTerminate = mtm < 0 || int256(auction.reservedCash) >= mtm || bm >= 0;
    }

    function getCurrentBidPrice(uint256 accountId) external view returns (int256) {
        Auction storage auction = _auctions[accountId];
        if (!auction.ongoing) revert DA_AuctionNotStarted();
        (int256 mm,, int256 mtm) = getMarginAndMarkToMarket(accountId, auction.scenarioId);
        if (auction.insolvent) {
            uint256 elapsed = block.timestamp - auction.startTime;
            return AuctionMath.insolventPrice(mm, mtm, elapsed, _params.insolventAuctionLength);
        }
        uint256 share = getDiscountPercentage(auction.startTime, block.timestamp);
        return int256(_solventPrice(mtm, auction.reservedCash, share));
    }

    // The whole of an account with no auction yet is priced as at the start's fee: no discount, nothing paid in.
    function getMaxProportion(uint256 accountId, uint256 scenarioId) external view returns (uint256) {
        Auction storage auction = _auctions[accountId];
        (, int256 bm, int256 mtm) = getMarginAndMarkToMarket(accountId, scenarioId);
        if (!auction.ongoing) return _maxProportion(mtm, bm, 1e18, 0);
        uint256 share = getDiscountPercentage(auction.startTime, block.timestamp);
        return _maxProportion(mtm, bm, share, auction.reservedCash);
    }

    function getDiscountPercentage(uint256 startTime, uint256 current) public view returns (uint256) {
        return AuctionMath.discount(_params, current - startTime);
    }

    function getAuction(uint256 accountId) external view returns (Auction memory) { return _auctions[accountId]; }

    function getAuctionParams() external view returns (AuctionParams memory) { return _params; }

    function isAuctionLive(uint256 accountId) external view returns (bool) { return _auctions[accountId].ongoing; }

    function getIsWithdrawBlocked() external view returns (bool) {
        if (totalInsolventMM == 0) return false;
        int256 held = subAccounts.getBalance(smAccount, address(cash), 0);
        return int256(totalInsolventMM) > held;
    }

    function _solventPrice(int256 mtm, uint256 reserved, uint256 share) internal pure returns (uint256) {
        if (int256(reserved) > mtm) revert DA_ReservedCashGreaterThanMtM();
        return Fp.mulWad(uint256(mtm - int256(reserved)), share);
    }

    function _maxProportion(int256 mtm, int256 bm, uint256 share, uint256 reserved) internal view returns (uint256) {
        if (int256(reserved) > mtm) revert DA_ReservedCashGreaterThanMtM();
        if (mtm < mtmCutoff) return 1e18;
        return AuctionMath.maxProportion(mtm, bm, share, reserved);
    }

    function _solventEnded(uint256 startTime) internal view returns (bool) {
        return block.timestamp > startTime + _params.fastAuctionLength + _params.slowAuctionLength;
    }
}
