// SPDX-License-Identifier: Apache-2.0
// Stands for SubAccounts and PerpAsset where a test wants a book of given numbers and no history.
// Only what a margin view reads is here; it must not be part of any venue.
pragma solidity 0.8.30;

import {AssetBalance} from "../Interfaces.sol";
import {Black76} from "../libraries/Black76.sol";
import {NormalCdf} from "../libraries/NormalCdf.sol";

contract BookHarness {
    AssetBalance[] private _book;
    uint256 private _perpPrice;
    uint256 private _perpConfidence;
    int256 private _perpValue;

    function setBook(AssetBalance[] calldata balances) external {
        delete _book;
        for (uint256 i = 0; i < balances.length; ++i) _book.push(balances[i]);
    }

    function setPerp(uint256 price, uint256 confidence, int256 value) external {
        (_perpPrice, _perpConfidence, _perpValue) = (price, confidence, value);
    }

    function getAccountBalances(uint256) external view returns (AssetBalance[] memory) { return _book; }

    function getPerpPrice() external view returns (uint256, uint256) { return (_perpPrice, _perpConfidence); }

    function getUnsettledAndUnrealizedCash(uint256) external view returns (int256) { return _perpValue; }

    function isAuctionLive(uint256) external pure returns (bool) { return false; }

    function cdf(int256[] calldata points) external pure returns (uint256[] memory values) {
        values = new uint256[](points.length);
        for (uint256 i = 0; i < points.length; ++i) values[i] = NormalCdf.cdf(points[i]);
    }

    function price(uint256 forward, uint256 strike, uint256 deviation, uint256 discount, bool isCall)
        external
        pure
        returns (uint256)
    {
        return Black76.price(forward, strike, deviation, discount, isCall);
    }
}
