// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token whose transfers burn all the gas they are given, once it is told to
contract BurningToken is ERC20("Burning", "BURN") {
    bool public burning;

    function setBurning(bool burning_) external {
        burning = burning_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (!burning) return;
        assembly ("memory-safe") {
            invalid()
        }
    }
}
