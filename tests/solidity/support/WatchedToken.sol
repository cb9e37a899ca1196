// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

interface IWatcher {
    function tokenCallsBack() external;
}

/// @title A plain token that tells a watcher of every transfer of the escrow, before and after it
contract WatchedToken is ERC20("Watched", "EYE"), ERC20Permit("Watched") {
    address private _escrow;
    IWatcher private _watcher;

    function watch(address escrow, address watcher) external {
        _escrow = escrow;
        _watcher = IWatcher(watcher);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        bool watched = from != address(0) && (from == _escrow || to == _escrow);
        if (watched) _watcher.tokenCallsBack();
        super._update(from, to, amount);
        if (watched) _watcher.tokenCallsBack();
    }
}
