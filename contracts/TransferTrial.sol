// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title What arrives of a token's transfers
/// @dev Never deployed: an eth_call puts this code at the address of somebody who has tokens, and nothing of it stays.
contract TransferTrial {
    using SafeERC20 for IERC20;

    /// @notice Move `amount` to `to` twice, as a withdrawal does and as a deposit does: what left, and what arrived
    function tryTransfers(IERC20 token, address to, uint256 amount)
        external
        returns (uint256 left, uint256 arrived, uint256 leftByAllowance, uint256 arrivedByAllowance)
    {
        (uint256 mine, uint256 theirs) = _balances(token, to);
        token.safeTransfer(to, amount);
        (uint256 mineThen, uint256 theirsThen) = _balances(token, to);
        token.forceApprove(address(this), amount);
        token.safeTransferFrom(address(this), to, amount);
        (uint256 mineNow, uint256 theirsNow) = _balances(token, to);
        return (mine - mineThen, theirsThen - theirs, mineThen - mineNow, theirsNow - theirsThen);
    }

    function _balances(IERC20 token, address to) private view returns (uint256 mine, uint256 theirs) {
        return (token.balanceOf(address(this)), token.balanceOf(to));
    }
}
