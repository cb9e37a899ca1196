// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Signers of 64- and 65-byte signatures
library Signatures {
    uint256 internal constant COMPACT_BYTES = 64;

    /// @dev The signer, or 0 for a wrong length, a high s, a bad v or an empty signature.
    function recover(bytes32 digest, bytes calldata sig) internal pure returns (address signer) {
        if (sig.length == 65) {
            (signer,,) = ECDSA.tryRecover(digest, uint8(sig[64]), bytes32(sig[0:32]), bytes32(sig[32:64]));
        } else if (sig.length == COMPACT_BYTES) {
            (signer,,) = ECDSA.tryRecover(digest, bytes32(sig[0:32]), bytes32(sig[32:64]));
        }
    }
}
