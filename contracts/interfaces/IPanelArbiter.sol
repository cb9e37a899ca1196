// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IMoltEscrow, Terms} from "./IMoltEscrow.sol";

/// @title A panel that rules on disputes
/// @notice `threshold` of the members sign a ruling (EIP-712, the panel's own domain); anyone may bring it.
interface IPanelArbiter {
    error TooManyMembers(uint256 members, uint256 most);
    error BadThreshold(uint256 threshold, uint256 members);
    error MembersNotAscending(address member, address previous);
    error RulingExpired(uint256 time, uint256 deadline);
    error NoQuorum(uint256 signatures, uint256 threshold);
    /// @notice Not a member, or not in ascending order, or there already.
    error NotAMember(address signer);
    /// @notice The panel has no balance in this escrow: there is nothing to mark.
    error NoShares();
    /// @notice There is a mark already: it can be withdrawn from `unlockAt` on.
    error SharesPending(uint256 unlockAt);

    event Ruled(address indexed escrow, bytes32 indexed dealId, uint256 gpuSeconds);
    event SharesPaid(address indexed token, uint256 toEachMember);

    /// @notice Bring a ruling to the escrow.
    /// @param sigs 64-byte (EIP-2098) signatures of `Ruling`, one after the other, sorted by signer, ascending.
    function rule(IMoltEscrow escrow, Terms calldata terms, uint40 gpuSeconds, uint40 deadline, bytes calldata sigs)
        external;

    /// @notice Mark all of the panel's balance in an escrow for withdrawal, if it has any and no mark is waiting yet.
    function requestShares(IMoltEscrow escrow) external;

    /// @notice Withdraw what was marked, if anything was, and split all that the panel holds equally among the members.
    /// @dev A member that the token refuses to pay holds up nobody: his part is split again the next time.
    function withdrawShares(IMoltEscrow escrow, IERC20 token) external;

    function members() external view returns (address[] memory);
    function threshold() external view returns (uint256);
}
