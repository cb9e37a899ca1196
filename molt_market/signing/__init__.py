"""Everything that is signed: EIP-712 types, hashes, ids, signers, signatures."""
