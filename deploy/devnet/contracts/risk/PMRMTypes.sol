// SPDX-License-Identifier: Apache-2.0
// The words of the portfolio margin method: its parameters, its scenarios and a priced portfolio.
// Field order is part of the surface: getters, events and `arrangePortfolio` show these structs as they are.
// Numbers have 18 decimals unless said otherwise.
pragma solidity 0.8.30;

enum VolShockDirection { None, Up, Down, Linear, Abs }

// `spotShock` multiplies (1.18 = up 18 %), `dampeningFactor` scales what the scenario costs.
struct Scenario { uint256 spotShock; VolShockDirection volShock; uint256 dampeningFactor; }

struct BasisContingencyParams {
    uint256 scenarioSpotUp;
    uint256 scenarioSpotDown;
    uint256 basisContAddFactor;
    uint256 basisContMultFactor;
}

struct OtherContingencyParams {
    uint256 pegLossThreshold;
    uint256 pegLossFactor;
    uint256 confThreshold;
    uint256 confMargin;
    uint256 MMPerpPercent;
    uint256 IMPerpPercent;
    uint256 MMOptionPercent;
    uint256 IMOptionPercent;
}

struct MarginParams {
    uint256 imFactor;
    uint256 mmFactor;
    uint256 shortRateMultScale;
    uint256 longRateMultScale;
    uint256 shortRateAddScale;
    uint256 longRateAddScale;
    uint256 shortBaseStaticDiscount;
    uint256 longBaseStaticDiscount;
}

// `dteFloor` is in plain seconds.
struct VolShockParams {
    uint256 volRangeUp;
    uint256 volRangeDown;
    int256 shortTermPower;
    int256 longTermPower;
    uint256 dteFloor;
    uint256 minVolUpShock;
}

struct SkewShockParams {
    uint256 linearBaseCap;
    uint256 absBaseCap;
    int256 linearCBase;
    int256 absCBase;
    int256 minKStar;
    int256 widthScale;
    int256 volParamStatic;
    int256 volParamScale;
}

// The initial margin's haircut is added to the maintenance margin's.
struct CollateralParameters { bool isEnabled; bool isRiskCancelling; uint256 MMHaircut; uint256 IMHaircut; }

struct StrikeHolding { uint256 strike; uint256 vol; int256 amount; bool isCall; bool seenInFilter; }

struct ExpiryHoldings {
    uint256 expiry;
    uint256 secToExpiry;
    StrikeHolding[] options;
    uint256 forwardFixedPortion;
    uint256 forwardVariablePortion;
    uint256 rate;
    uint64 discount;
    uint256 minConfidence;
    uint256 netOptions;
    int256 mtm;
    int256 basisScenarioUpMtM;
    int256 basisScenarioDownMtM;
    uint256 volShockUp;
    uint256 volShockDown;
    uint256 staticDiscountPos;
    uint256 staticDiscountNeg;
}

struct CollateralHoldings { address asset; uint256 value; uint256 minConfidence; }

// `totalMtM` leaves cash out.
struct Portfolio {
    uint256 spotPrice;
    uint256 perpPrice;
    uint256 stablePrice;
    int256 cash;
    ExpiryHoldings[] expiries;
    CollateralHoldings[] collaterals;
    int256 perpPosition;
    int256 totalMtM;
    int256 basisContingency;
    uint256 MMContingency;
    uint256 IMContingency;
    uint256 minConfidence;
    int256 perpValue;
}

// What the manager asks of the library that holds an account's parameters and does its arithmetic.
interface IPMRMLib_2 {
    function addPrecomputes(Portfolio memory portfolio) external view returns (Portfolio memory);
    function getMarginAndMarkToMarket(Portfolio memory portfolio, bool isInitial, Scenario[] memory scenarios)
        external
        view
        returns (int256 margin, int256 markToMarket, uint256 worstScenario);
    function getScenarioPnL(Portfolio memory portfolio, Scenario memory scenario) external view returns (int256);
}
