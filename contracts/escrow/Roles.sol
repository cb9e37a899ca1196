// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Config, Holder, IMoltEscrow, Role} from "../interfaces/IMoltEscrow.sol";
import {Checks} from "./Checks.sol";

/// @title The two roles, and all that they can do
/// @dev The guardian can hold up openings for a while, the fee setter can announce a fee within the cap. Neither can
/// touch a balance or an open deal. A role without a holder (0) stays without.
abstract contract Roles is Checks {
    uint256 private constant MAX_FEE_BPS = 300;
    uint40 private constant FEE_NOTICE = 7 days;
    uint40 private constant PAUSE = 72 hours;
    uint40 private constant PAUSE_REST = 7 days;

    mapping(Role role => Holder) private _holders;
    Config private _config;

    constructor(address guardian, address feeSetter, uint16 feeBps_) {
        _requireWithin(Code.DEPLOYMENT_OUT_OF_RANGE, feeBps_, 0, MAX_FEE_BPS);
        _holders[Role.GUARDIAN].holder = guardian;
        _holders[Role.FEE_SETTER].holder = feeSetter;
        _config.nextFeeBps = feeBps_; // since ever
    }

    /// @inheritdoc IMoltEscrow
    function pause() external {
        _requireHolder(_holders[Role.GUARDIAN].holder);
        uint256 rested = _config.pausedUntil + PAUSE_REST;
        if (block.timestamp < rested) revert Refused(Code.PAUSE_RESTING, block.timestamp, rested);
        _pauseUntil(uint40(block.timestamp) + PAUSE);
    }

    /// @inheritdoc IMoltEscrow
    function unpause() external {
        _requireHolder(_holders[Role.GUARDIAN].holder);
        if (block.timestamp < _config.pausedUntil) _pauseUntil(uint40(block.timestamp));
    }

    /// @inheritdoc IMoltEscrow
    function scheduleFee(uint16 feeBps_) external {
        _requireHolder(_holders[Role.FEE_SETTER].holder);
        _requireWithin(Code.FEE_OUT_OF_RANGE, feeBps_, 0, MAX_FEE_BPS);
        uint40 from = uint40(block.timestamp) + FEE_NOTICE;
        _config = Config(feeBps(), feeBps_, from, _config.pausedUntil);
        emit FeeAnnounced(feeBps_, from);
    }

    /// @inheritdoc IMoltEscrow
    function offerRole(Role role, address to) external {
        _requireHolder(_holders[role].holder);
        _holders[role].pending = to;
        emit RoleOffered(role, msg.sender, to);
    }

    /// @inheritdoc IMoltEscrow
    function acceptRole(Role role) external {
        _requireHolder(_holders[role].pending);
        _holders[role] = Holder(msg.sender, address(0));
        emit RoleAccepted(role, msg.sender);
    }

    /// @inheritdoc IMoltEscrow
    function roleOf(Role role) external view returns (Holder memory) {
        return _holders[role];
    }

    /// @inheritdoc IMoltEscrow
    function config() external view returns (Config memory) {
        return _config;
    }

    /// @inheritdoc IMoltEscrow
    function feeBps() public view returns (uint16) {
        return block.timestamp < _config.nextFeeFrom ? _config.feeBps : _config.nextFeeBps;
    }

    /// @dev No deal opens before this second.
    function _pausedUntil() internal view returns (uint256) {
        return _config.pausedUntil;
    }

    function _pauseUntil(uint40 time) private {
        _config.pausedUntil = time;
        emit OpeningsPaused(time);
    }

    function _requireHolder(address holder) private view {
        if (msg.sender != holder) revert Refused(Code.NOT_HOLDER, uint160(msg.sender), uint160(holder));
    }
}
