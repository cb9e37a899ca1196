// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A token that answers with what looks like a refusal of the escrow
contract ForgingToken {
    uint8 public constant decimals = 18;
    bytes private _answer;

    function setAnswer(bytes calldata answer) external {
        _answer = answer;
    }

    /// @dev The first thing that a deposit asks.
    function balanceOf(address) external view returns (uint256) {
        bytes memory answer = _answer;
        if (answer.length == 0) return 0;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}
