// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token whose issuer freezes accounts: they neither send nor receive
contract DenylistToken is ERC20("Denylist", "DENY") {
    error Denied(address account);

    mapping(address account => bool) public denied;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function deny(address account, bool isDenied) external {
        denied[account] = isDenied;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (denied[from]) revert Denied(from);
        if (denied[to]) revert Denied(to);
        super._update(from, to, amount);
    }
}
