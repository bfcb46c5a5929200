// SPDX-License-Identifier: Apache-2.0
// The risk manager of one underlying: says yes or no to every change of an account it margins, settles what
// is due, and hands a liquidated account's balances to a bidder. Prices and formulae are not its business.
pragma solidity 0.8.30;

import {FixedPointMathLib as Fp} from "solady/src/utils/FixedPointMathLib.sol";
import {
    AssetBalance,
    AssetDelta,
    IAuction,
    ICash,
    IDataReceiver,
    IOption,
    IPerp,
    ISubAccounts,
    ManagerData
} from "../Interfaces.sol";
import {PMRMParameters} from "./PMRMParameters.sol";
import {PMRMSettings} from "./PMRMSettings.sol";
import {BasisContingencyParams, IPMRMLib_2, Scenario, VolShockDirection} from "./PMRMTypes.sol";

contract PMRM_2_1 is PMRMSettings {
    event PerpSettled(uint256 indexed accountId, address perp, int256 pnl, int256 funding);
    event OptionSettled(uint256 indexed accountId, address option, uint256 subId, int256 amount, int256 value);

    error PMRM_2_InsufficientMargin();
    error PMRM_2_TooManyAssets();
    error BM_AdjustmentsPaused();
    error BM_AccountUnderLiquidation();
    error BM_UnauthorizedCall();
    error BM_OnlySubAccounts();
    error BM_OnlyLiquidationModule();
    error BM_InvalidBidPortion();

    constructor(
        ISubAccounts subAccounts_,
        address cash_,
        address option_,
        address perp_,
        IPMRMLib_2 lib_,
        IAuction liquidation_,
        Feeds memory feeds
    ) PMRMSettings(subAccounts_, cash_, option_, perp_, lib_, liquidation_, feeds) {}

    modifier onlySubAccounts() {
        if (msg.sender != address(subAccounts)) revert BM_OnlySubAccounts();
        _;
    }

    modifier onlyLiquidation() {
        if (msg.sender != address(liquidation)) revert BM_OnlyLiquidationModule();
        _;
    }

    // ---------------------------------------------------------------------------- adjustments

    function handleAdjustment(
        uint256 accountId,
        uint256,
        address caller,
        AssetDelta[] calldata deltas,
        bytes calldata managerData
    ) external onlySubAccounts {
        if (adjustmentsPaused) revert BM_AdjustmentsPaused();
        // Not even the owner may top the account up: a bidder has to know what there is to buy.
        if (liquidation.isAuctionLive(accountId)) revert BM_AccountUnderLiquidation();
        if (managerData.length != 0) _updateFeeds(managerData);
        bool addsRisk = false;
        for (uint256 i = 0; i < deltas.length; ++i) {
            address asset = deltas[i].asset;
            if (asset == perp) {
                _settlePerp(accountId);
                addsRisk = true;
            } else {
                _checkSupported(asset);
                if (deltas[i].delta < 0) addsRisk = true;
            }
        }
        _checkSize(accountId);
        if (addsRisk) _checkMargin(accountId, trustedRiskAssessor[caller]);
    }

    function _updateFeeds(bytes calldata managerData) private {
        ManagerData[] memory batch = abi.decode(managerData, (ManagerData[]));
        for (uint256 i = 0; i < batch.length; ++i) {
            if (!whitelistedCallee[batch[i].receiver]) revert BM_UnauthorizedCall();
            IDataReceiver(batch[i].receiver).acceptData(batch[i].data);
        }
    }

    function _checkSupported(address asset) private view {
        bool known = asset == option || asset == cashAsset || address(collateralSpotFeeds[asset]) != address(0);
        if (!known) revert PMRM_2_UnsupportedAsset();
    }

    function _checkSize(uint256 accountId) private view {
        uint256 count = subAccounts.getAccountBalances(accountId).length;
        if (count > maxAccountSize) revert PMRM_2_TooManyAssets();
    }

    // A trusted assessor looks at risk itself, so three plain moves of spot are enough for its trades.
    function _checkMargin(uint256 accountId, bool isTrusted) private view {
        Scenario[] memory scenarios = isTrusted ? _plainScenarios(accountId) : getScenarios();
        (int256 margin,,) = _margin(accountId, !isTrusted, scenarios);
        if (margin < 0) revert PMRM_2_InsufficientMargin();
    }

    function _plainScenarios(uint256 accountId) private view returns (Scenario[] memory scenarios) {
        BasisContingencyParams memory basis =
            PMRMParameters(address(getAccountLib(accountId))).getBasisContingencyParams();
        scenarios = new Scenario[](3);
        scenarios[0] = Scenario(basis.scenarioSpotUp, VolShockDirection.None, 1e18);
        scenarios[1] = Scenario(basis.scenarioSpotDown, VolShockDirection.None, 1e18);
        scenarios[2] = Scenario(1e18, VolShockDirection.None, 1e18);
    }

    // ----------------------------------------------------------------------------- settlement

    function settleInterest(uint256 accountId) external { _adjustCash(accountId, 0); }

    function settlePerpsWithIndex(uint256 accountId) external {
        IPerp(perp).realizeAccountPNL(accountId);
        _settlePerp(accountId);
    }

    function settleOptions(address asset, uint256 accountId) external {
        if (asset != option) revert PMRM_2_UnsupportedAsset();
        AssetBalance[] memory held = subAccounts.getAccountBalances(accountId);
        int256 total = 0;
        bool anySettled = false;
        for (uint256 i = 0; i < held.length; ++i) {
            if (held[i].asset != asset) continue;
            (int256 value, bool settled) = IOption(asset).calcSettlementValue(held[i].subId, held[i].balance);
            if (!settled) continue;
            total += value;
            anySettled = true;
            subAccounts.managerAdjustment(accountId, asset, held[i].subId, -held[i].balance);
            emit OptionSettled(accountId, asset, held[i].subId, held[i].balance, value);
        }
        if (!anySettled) return;
        _adjustCash(accountId, total);
        ICash(cashAsset).updateSettledCash(total);
    }

    function _settlePerp(uint256 accountId) private {
        (int256 pnl, int256 funding) = IPerp(perp).settleRealizedPNLAndFunding(accountId);
        int256 total = pnl + funding;
        if (total == 0) return;
        _adjustCash(accountId, total);
        ICash(cashAsset).updateSettledCash(total);
        emit PerpSettled(accountId, perp, pnl, funding);
    }

    function _adjustCash(uint256 accountId, int256 amount) private {
        subAccounts.managerAdjustment(accountId, cashAsset, 0, amount);
    }

    // ---------------------------------------------------------------------------- liquidation

    function payLiquidationFee(uint256 accountId, uint256 recipient, uint256 cashAmount) external onlyLiquidation {
        _move(accountId, recipient, cashAsset, 0, int256(cashAmount));
    }

    // The bidder takes `portion` of every balance, of cash only what no earlier bidder paid in, and pays.
    function executeBid(
        uint256 accountId,
        uint256 liquidatorId,
        uint256 portion,
        uint256 cashAmount,
        uint256 reservedCash
    ) external onlyLiquidation {
        if (portion > 1e18) revert BM_InvalidBidPortion();
        AssetBalance[] memory held = subAccounts.getAccountBalances(accountId);
        for (uint256 i = 0; i < held.length; ++i) {
            if (held[i].asset == cashAsset) continue;
            int256 share = Fp.sMulWad(held[i].balance, int256(portion));
            if (share != 0) _move(accountId, liquidatorId, held[i].asset, held[i].subId, share);
        }
        int256 cash = subAccounts.getBalance(accountId, cashAsset, 0) - int256(reservedCash);
        int256 cashShare = Fp.sMulWad(cash, int256(portion));
        if (cashShare != 0) _move(accountId, liquidatorId, cashAsset, 0, cashShare);
        if (cashAmount != 0) _move(liquidatorId, accountId, cashAsset, 0, int256(cashAmount));
    }

    function _move(uint256 from, uint256 to, address asset, uint256 subId, int256 amount) private {
        subAccounts.managerAdjustment(from, asset, subId, -amount);
        subAccounts.managerAdjustment(to, asset, subId, amount);
    }
}
