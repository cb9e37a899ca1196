// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that takes 1 of 10,000 of what moves by an allowance, and nothing of a plain transfer
contract AllowanceFeeToken is ERC20("Fee by allowance", "AFEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        _burn(to, amount / 10_000);
        return true;
    }
}
