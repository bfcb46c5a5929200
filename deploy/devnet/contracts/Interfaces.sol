// SPDX-License-Identifier: Apache-2.0
// The sockets between the contracts of the development venue: what one contract may ask of another.
// The outward surface (what a keeper touches) is each contract's own; only inward calls are here.
pragma solidity 0.8.30;

struct AssetTransfer { uint256 from; uint256 to; address asset; uint256 subId; int256 amount; bytes32 data; }
struct AssetBalance { address asset; uint256 subId; int256 balance; }
struct AssetDelta { address asset; uint256 subId; int256 delta; }
struct FeedData { bytes data; uint256 deadline; uint64 timestamp; address[] signers; bytes[] signatures; }
struct ManagerData { address receiver; bytes data; }

interface ISubAccounts {
    function lastAccountId() external view returns (uint256);
    function ownerOf(uint256 accountId) external view returns (address);
    function manager(uint256 accountId) external view returns (address);
    function lastAccountTradeId(uint256 accountId) external view returns (uint256);
    function createAccount(address owner, address manager) external returns (uint256);
    function getBalance(uint256 accountId, address asset, uint256 subId) external view returns (int256);
    function getAccountBalances(uint256 accountId) external view returns (AssetBalance[] memory);
    function submitTransfer(AssetTransfer calldata transfer, bytes calldata managerData) external returns (uint256);
    function submitTransfers(AssetTransfer[] calldata transfers, bytes calldata managerData) external returns (uint256);
    // Called by an asset (deposit, withdrawal, socialised loss): asset hook skipped, manager hook runs.
    function assetAdjustment(uint256 accountId, uint256 subId, int256 amount, bool triggerAssetHook) external returns (int256 postBalance);
    // Called by the account's manager (liquidation, settlement): asset hook runs, manager hook does not.
    function managerAdjustment(uint256 accountId, address asset, uint256 subId, int256 amount) external returns (int256 postBalance);
}

interface IAsset {
    // Called by SubAccounts on each change of a balance; returns the balance to store and whether the owner's consent is needed.
    function handleAdjustment(uint256 accountId, uint256 subId, int256 amount, int256 preBalance, address manager)
        external returns (int256 finalBalance, bool needAllowance);
}

interface IManager {
    // Called by SubAccounts once for each account that a batch of transfers or an asset's adjustment touched.
    function handleAdjustment(uint256 accountId, uint256 tradeId, address caller, AssetDelta[] calldata deltas, bytes calldata managerData) external;
    function settleInterest(uint256 accountId) external;
    function settlePerpsWithIndex(uint256 accountId) external;
    function settleOptions(address option, uint256 accountId) external;
    function getMargin(uint256 accountId, bool isInitial) external view returns (int256);
    function getMarginAndMarkToMarket(uint256 accountId, bool isInitial, uint256 scenarioId) external view returns (int256 margin, int256 mtm);
    // Called by the auction only.
    function payLiquidationFee(uint256 accountId, uint256 recipient, uint256 cashAmount) external;
    // Liquidator takes `portion` of every balance (cash: of cash - reservedCash) and pays `cashAmount`.
    function executeBid(uint256 accountId, uint256 liquidatorId, uint256 portion, uint256 cashAmount, uint256 reservedCash) external;
}

// What the manager asks of the assets and feeds.
interface ICash {
    function calculateBalanceWithInterest(uint256 accountId) external returns (int256);
    // Called by a manager when cash is printed or burned outside a transfer (perpetual and option settlement).
    function updateSettledCash(int256 amount) external;
    // Called by the auction: cover a loss for `account` by printing cash; suppliers bear it. Returns nothing.
    function socializeLoss(uint256 lossAmount, uint256 accountToReceive) external;
}
interface IOption {
    function calcSettlementValue(uint256 subId, int256 balance) external view returns (int256 value, bool settled);
}
interface IPerp {
    function getPerpPrice() external view returns (uint256 price, uint256 confidence);
    function getUnsettledAndUnrealizedCash(uint256 accountId) external view returns (int256);
    // Called by the account's manager: realise pnl and funding, hand both over and zero them.
    function settleRealizedPNLAndFunding(uint256 accountId) external returns (int256 pnl, int256 funding);
    function realizeAccountPNL(uint256 accountId) external;
}
interface ISpotFeed { function getSpot() external view returns (uint256 spot, uint256 confidence); }
interface ISpotDiffFeed { function getResult() external view returns (uint256 price, uint256 confidence); }
interface IForwardFeed {
    function getForwardPricePortions(uint64 expiry) external view returns (uint256 forwardFixed, uint256 forwardVariable, uint256 confidence);
}
interface IVolFeed {
    function getVol(uint128 strike, uint64 expiry) external view returns (uint256 vol, uint256 confidence);
    function getExpiryMinConfidence(uint64 expiry) external view returns (uint256 confidence);
}
interface IRateFeed { function getInterestRate(uint64 expiry) external view returns (int256 rate, uint256 confidence); }
interface ISettlementFeed { function getSettlementPrice(uint64 expiry) external view returns (bool settled, uint256 price); }
interface IDataReceiver { function acceptData(bytes calldata data) external; }

interface IAuction {
    function isAuctionLive(uint256 accountId) external view returns (bool);
    function getIsWithdrawBlocked() external view returns (bool);
}
interface ISecurityModule {
    function accountId() external view returns (uint256);
    function requestPayout(uint256 targetAccount, uint256 cashAmountNeeded) external returns (uint256 cashAmountPaid);
}
