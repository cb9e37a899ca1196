// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that can be told to answer every transfer with `false` or, lying, with an idle `true`
contract RefusingToken is ERC20("Refusing", "NO") {
    enum Mood {
        HONEST,
        REFUSING,
        LYING
    }

    Mood public mood;

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return mood == Mood.HONEST ? super.transfer(to, amount) : mood == Mood.LYING;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return mood == Mood.HONEST ? super.transferFrom(from, to, amount) : mood == Mood.LYING;
    }
}
