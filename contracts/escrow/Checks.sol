// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Code, IMoltEscrow} from "../interfaces/IMoltEscrow.sol";
import {Signatures} from "../libraries/Signatures.sol";

/// @title Who has agreed, and whether it is time
/// @dev A function named ...Refusal returns the first reason to refuse, or Code.NONE; one named _require... reverts.
abstract contract Checks is IMoltEscrow, EIP712 {
    /// @notice Seconds between a cancel, or the revocation of an approval, and its effect.
    uint40 public immutable cancelDelay;

    mapping(address account => mapping(bytes32 digest => uint40)) private _approvedUntil;

    constructor(uint40 cancelDelay_) EIP712("MoltEscrow", "1") {
        cancelDelay = cancelDelay_;
    }

    /// @inheritdoc IMoltEscrow
    function approve(bytes32 digest) external {
        _approvedUntil[msg.sender][digest] = type(uint40).max;
        emit DigestApproved(msg.sender, digest);
    }

    /// @inheritdoc IMoltEscrow
    function revoke(bytes32 digest) external {
        uint40 until = uint40(block.timestamp) + cancelDelay;
        if (_approvedUntil[msg.sender][digest] < until) until = _approvedUntil[msg.sender][digest];
        _approvedUntil[msg.sender][digest] = until;
        emit DigestRevoked(msg.sender, digest, until);
    }

    /// @inheritdoc IMoltEscrow
    function approvedUntil(address account, bytes32 digest) external view returns (uint40) {
        return _approvedUntil[account][digest];
    }

    /// @dev An empty signature means that the signer himself makes the call, or has approved the digest.
    function _signerRefusal(address signer, bytes32 digest, bytes calldata sig, address caller)
        internal
        view
        returns (Code, uint256, uint256)
    {
        address found = sig.length == 0 ? caller : Signatures.recover(digest, sig);
        if (found == signer && found != address(0)) return (Code.NONE, 0, 0);
        if (sig.length == 0 && block.timestamp < _approvedUntil[signer][digest]) return (Code.NONE, 0, 0);
        return (Code.BAD_SIGNATURE, uint160(found), uint160(signer));
    }

    function _requireSigner(address signer, bytes32 digest, bytes calldata sig) internal view {
        (Code code, uint256 actual, uint256 limit) = _signerRefusal(signer, digest, sig, msg.sender);
        _refuseIf(code, actual, limit);
    }

    /// @dev For requests that lapse: the deadline binds a signature or an approval, not the signer's own call.
    function _requireSigned(address signer, bytes32 structHash, uint256 deadline, bytes calldata sig) internal view {
        if (sig.length == 0 && msg.sender == signer) return;
        _requireBefore(deadline);
        _requireSigner(signer, _hashTypedDataV4(structHash), sig);
    }

    function _requireBefore(uint256 deadline) internal view {
        if (block.timestamp >= deadline) revert Refused(Code.TOO_LATE, block.timestamp, deadline);
    }

    function _requireDue(uint256 time) internal view {
        if (block.timestamp < time) revert Refused(Code.TOO_EARLY, block.timestamp, time);
    }

    function _requireWithin(Code code, uint256 value, uint256 least, uint256 most) internal pure {
        if (value < least || value > most) revert Refused(code, value, value < least ? least : most);
    }

    /// @dev The one place that reverts for a ...Refusal.
    function _refuseIf(Code code, uint256 actual, uint256 limit) internal pure {
        if (code != Code.NONE) revert Refused(code, actual, limit);
    }
}
