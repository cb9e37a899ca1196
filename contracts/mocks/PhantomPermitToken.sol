// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token without permits whose fallback swallows the call for one
contract PhantomPermitToken is ERC20("Phantom permit", "PHANTOM") {
    fallback() external {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @title The same, but with a nonce that never moves
contract CountingPhantomToken is PhantomPermitToken {
    function nonces(address) external pure returns (uint256) {
        return 0;
    }
}
