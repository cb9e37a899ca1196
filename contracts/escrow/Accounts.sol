// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Account, Code, IMoltEscrow} from "../interfaces/IMoltEscrow.sol";
import {Hashes} from "../libraries/Hashes.sol";
import {Checks} from "./Checks.sol";

/// @title Balances: the only code that touches the token
abstract contract Accounts is Checks, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant MAX_DELAY = 1 days;
    uint256 private constant MAX_TOKEN_DECIMALS = 18;
    uint256 private constant MAX_TOKEN_BALANCE = type(uint96).max;

    IERC20 public immutable token;
    /// @notice Seconds between the request of a withdrawal and the withdrawal: longer than settlement takes.
    uint40 public immutable withdrawDelay;

    mapping(address account => Account) internal _accounts;

    constructor(IERC20 token_, uint40 withdrawDelay_) {
        uint256 decimals = IERC20Metadata(address(token_)).decimals();
        _requireWithin(Code.DEPLOYMENT_OUT_OF_RANGE, decimals, 0, MAX_TOKEN_DECIMALS);
        _requireWithin(Code.DEPLOYMENT_OUT_OF_RANGE, withdrawDelay_, 1, MAX_DELAY);
        _requireWithin(Code.DEPLOYMENT_OUT_OF_RANGE, cancelDelay, 1, MAX_DELAY);
        token = token_;
        withdrawDelay = withdrawDelay_;
    }

    /// @inheritdoc IMoltEscrow
    function deposit(address to, uint256 amount) external nonReentrant {
        _pull(msg.sender, to, amount);
    }

    /// @inheritdoc IMoltEscrow
    function depositWithPermit(address owner, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // Somebody may have used the permit first: then the allowance is there, and _pull says if it is not. But only
        // to the owner himself is an old allowance enough; for anyone else the permit must take effect in this call
        // (a token without permits may swallow the call and do nothing).
        uint256 nonce = _permitNonce(owner);
        try IERC20Permit(address(token)).permit(owner, address(this), amount, deadline, v, r, s) {} catch {}
        if (msg.sender != owner && _permitNonce(owner) != nonce + 1) {
            revert Refused(Code.PERMIT_REFUSED, nonce, nonce + 1);
        }
        _pull(owner, owner, amount);
    }

    /// @inheritdoc IMoltEscrow
    function requestWithdraw(address account, uint96 amount, uint40 deadline, bytes calldata sig) external {
        Account memory a = _accounts[account];
        _requireSigned(account, Hashes.requestWithdraw(account, amount, a.nonce, deadline), deadline, sig);
        if (amount > a.balance) revert Refused(Code.INSUFFICIENT_BALANCE, a.balance, amount);

        a.withdrawing = amount;
        a.unlockAt = uint40(block.timestamp) + withdrawDelay;
        a.nonce++;
        _accounts[account] = a;
        emit WithdrawRequested(account, amount, a.unlockAt);
    }

    /// @inheritdoc IMoltEscrow
    function withdraw(address account, address to, uint40 deadline, bytes calldata sig) external nonReentrant {
        Account memory a = _accounts[account];
        _requireSigned(account, Hashes.withdraw(account, to, a.nonce, deadline), deadline, sig);
        _requireReceiver(to);
        _requireDue(a.unlockAt);
        uint256 amount = Math.min(a.withdrawing, a.balance);
        _requireAmount(amount);

        a.balance -= uint96(amount);
        a.withdrawing = 0;
        a.nonce++;
        _accounts[account] = a;
        emit Withdrawn(account, to, amount);
        if (!token.trySafeTransfer(to, amount)) {
            revert Refused(Code.TOKEN_REFUSED, _tokensOf(address(this)), amount);
        }
    }

    /// @inheritdoc IMoltEscrow
    function accountOf(address account) external view returns (Account memory) {
        return _accounts[account];
    }

    /// @dev Cannot overflow: all balances together stay within MAX_TOKEN_BALANCE.
    function _credit(address account, uint256 amount) internal {
        if (amount != 0) _accounts[account].balance += uint96(amount);
    }

    /// @dev Take exactly `amount` from `from` and credit it to `to`. The callers hold the reentrancy guard, so the
    /// token balance can change by nothing else of ours in between.
    function _pull(address from, address to, uint256 amount) private {
        _requireAmount(amount);
        _requireReceiver(to);
        uint256 before = _tokensOf(address(this));
        if (!token.trySafeTransferFrom(from, address(this), amount)) {
            uint256 movable = Math.min(token.allowance(from, address(this)), _tokensOf(from));
            revert Refused(Code.TOKEN_REFUSED, movable, amount);
        }
        uint256 balance = _tokensOf(address(this));
        uint256 received = balance < before ? 0 : balance - before;
        if (received != amount) revert Refused(Code.INEXACT_TRANSFER, received, amount);
        if (balance > MAX_TOKEN_BALANCE) revert Refused(Code.TOKEN_CAP, balance, MAX_TOKEN_BALANCE);

        _accounts[to].balance += uint96(amount);
        emit Deposited(to, from, amount);
    }

    function _tokensOf(address owner) private view returns (uint256) {
        return token.balanceOf(owner);
    }

    /// @dev 0 if the token has no such thing.
    function _permitNonce(address owner) private view returns (uint256) {
        (bool done, bytes memory data) = address(token).staticcall(abi.encodeCall(IERC20Permit.nonces, (owner)));
        return done && data.length == 32 ? uint256(bytes32(data)) : 0;
    }

    function _requireAmount(uint256 amount) private pure {
        if (amount == 0) revert Refused(Code.ZERO_AMOUNT, 0, 1);
    }

    function _requireReceiver(address to) private view {
        if (to == address(0) || to == address(this)) revert Refused(Code.BAD_RECEIVER, uint160(to), 0);
    }
}
