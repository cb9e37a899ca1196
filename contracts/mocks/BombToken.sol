// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that reverts with as many bytes as it is told to
contract BombToken is ERC20("Bomb", "BOMB") {
    uint256 public size;

    function setSize(uint256 size_) external {
        size = size_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function balanceOf(address account) public view override returns (uint256) {
        _explode();
        return super.balanceOf(account);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        _explode();
        return super.transfer(to, amount);
    }

    function _explode() private view {
        uint256 bytes_ = size;
        if (bytes_ == 0) return;
        assembly ("memory-safe") {
            revert(0, bytes_)
        }
    }
}
