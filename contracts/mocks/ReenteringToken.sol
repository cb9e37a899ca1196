// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that makes calls of its own in the middle of the next transfer
contract ReenteringToken is ERC20("Reentering", "RE") {
    /// @notice What the call at `index` came to; `answer` is what it returned or reverted with.
    event Answered(uint256 indexed index, bool done, bytes answer);

    struct Call {
        address target;
        bytes data;
    }

    Call[] private _calls;

    function arm(Call[] calldata calls) external {
        for (uint256 i = 0; i < calls.length; i++) {
            _calls.push(calls[i]);
        }
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function take(address from, uint256 amount) external {
        _burn(from, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        Call[] memory calls = _calls;
        delete _calls;
        for (uint256 i = 0; i < calls.length; i++) {
            (bool done, bytes memory answer) = calls[i].target.call(calls[i].data);
            emit Answered(i, done, answer);
        }
    }
}
