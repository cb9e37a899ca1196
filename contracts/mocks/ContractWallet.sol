// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A wallet without a key: it does what its owner wants, and may change its mind about signatures at any time
contract ContractWallet {
    error NotOwner(address caller);
    error NoOpinion();

    enum Mood {
        SIGNS_ALL,
        SIGNS_NOTHING,
        REVERTS
    }

    address public immutable owner;
    Mood public mood;

    constructor(address owner_) {
        owner = owner_;
    }

    function execute(address target, bytes calldata data) external {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        (bool done, bytes memory answer) = target.call(data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    /// @notice ERC-1271.
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (mood == Mood.REVERTS) revert NoOpinion();
        return mood == Mood.SIGNS_ALL ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}
