// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Account, IMoltEscrow, Terms} from "./interfaces/IMoltEscrow.sol";
import {IPanelArbiter} from "./interfaces/IPanelArbiter.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title PanelArbiter: a ruling by `threshold` of a fixed set of members
/// @dev Holds no money but its shares of stakes, which go to the members in equal parts. It has no owner: members,
/// threshold and the split are what they were at deployment.
contract PanelArbiter is IPanelArbiter, EIP712 {
    using SafeERC20 for IERC20;

    uint256 private constant MAX_MEMBERS = 16;

    /// @inheritdoc IPanelArbiter
    uint256 public immutable threshold;
    address[] private _members;

    constructor(address[] memory members_, uint256 threshold_) EIP712("PanelArbiter", "1") {
        if (members_.length > MAX_MEMBERS) revert TooManyMembers(members_.length, MAX_MEMBERS);
        if (threshold_ == 0 || threshold_ > members_.length) revert BadThreshold(threshold_, members_.length);
        address last = address(0);
        for (uint256 i = 0; i < members_.length; i++) {
            if (members_[i] <= last) revert MembersNotAscending(members_[i], last);
            last = members_[i];
        }
        _members = members_;
        threshold = threshold_;
    }

    /// @inheritdoc IPanelArbiter
    function rule(IMoltEscrow escrow, Terms calldata terms, uint40 gpuSeconds, uint40 deadline, bytes calldata sigs)
        external
    {
        if (block.timestamp >= deadline) revert RulingExpired(block.timestamp, deadline);
        bytes32 dealId = escrow.dealIdOf(terms);
        _requireQuorum(_hashTypedDataV4(Hashes.ruling(address(escrow), dealId, gpuSeconds, deadline)), sigs);

        emit Ruled(address(escrow), dealId, gpuSeconds);
        escrow.resolve(terms, gpuSeconds, deadline, "");
    }

    /// @inheritdoc IPanelArbiter
    function requestShares(IMoltEscrow escrow) external {
        Account memory account = escrow.accountOf(address(this));
        // anyone may call this: a mark of nothing would use up a nonce, a new one start the delay again, for ever
        if (account.balance == 0) revert NoShares();
        if (account.withdrawing != 0) revert SharesPending(account.unlockAt);
        escrow.requestWithdraw(address(this), account.balance, 0, "");
    }

    /// @inheritdoc IPanelArbiter
    function withdrawShares(IMoltEscrow escrow, IERC20 token) external {
        if (escrow.accountOf(address(this)).withdrawing != 0) escrow.withdraw(address(this), address(this), 0, "");
        uint256 part = token.balanceOf(address(this)) / _members.length; // the dust waits for the next time,
        for (uint256 i = 0; i < _members.length; i++) {
            token.trySafeTransfer(_members[i], part); // and so does a part that the token will not deliver
        }
        emit SharesPaid(address(token), part);
    }

    /// @inheritdoc IPanelArbiter
    function members() external view returns (address[] memory) {
        return _members;
    }

    /// @dev Signatures ascend by signer, as members do: one walk finds them all, and no one counts twice.
    function _requireQuorum(bytes32 digest, bytes calldata sigs) private view {
        uint256 count = sigs.length / Signatures.COMPACT_BYTES;
        if (sigs.length % Signatures.COMPACT_BYTES != 0 || count < threshold) revert NoQuorum(count, threshold);
        uint256 next = 0;
        for (uint256 i = 0; i < count; i++) {
            uint256 from = i * Signatures.COMPACT_BYTES;
            address signer = Signatures.recover(digest, sigs[from:from + Signatures.COMPACT_BYTES]);
            while (next < _members.length && _members[next] != signer) next++;
            if (next == _members.length) revert NotAMember(signer);
            next++;
        }
    }
}
