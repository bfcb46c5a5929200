// SPDX-License-Identifier: Apache-2.0
// A token anyone may mint: the development venue's USDC and collateral. It must not be used for value.
pragma solidity 0.8.30;

import {ERC20} from "solady/src/tokens/ERC20.sol";

contract MockERC20 is ERC20 {
    string internal _symbol;
    uint8 internal immutable _places;

    constructor(string memory symbol_, uint8 places) {
        _symbol = symbol_;
        _places = places;
    }

    function name() public view override returns (string memory) { return _symbol; }
    function symbol() public view override returns (string memory) { return _symbol; }
    function decimals() public view override returns (uint8) { return _places; }
    function mint(address to, uint256 amount) external { _mint(to, amount); }
}
