// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A token whose issuer scales all balances at once
contract RebasingToken {
    uint8 public constant decimals = 18;
    uint256 private constant WHOLE = 10_000;

    uint256 public scale = WHOLE; // in basis points
    mapping(address account => uint256) private _shares;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function rebase(uint256 scale_) external {
        scale = scale_;
    }

    function mint(address to, uint256 amount) external {
        _shares[to] += _sharesOf(amount);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function balanceOf(address account) external view returns (uint256) {
        return _shares[account] * scale / WHOLE;
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        _shares[from] -= _sharesOf(amount);
        _shares[to] += _sharesOf(amount);
        return true;
    }

    function _sharesOf(uint256 amount) private view returns (uint256) {
        return amount * WHOLE / scale;
    }
}
