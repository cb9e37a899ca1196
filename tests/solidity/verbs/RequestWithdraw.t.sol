// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Account as Funds, Code, IMoltEscrow} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {Scene} from "../support/Scene.sol";

contract RequestWithdrawTest is Scene {
    uint256 private constant MOST = type(uint96).max;

    function test_requestWithdraw__marksPartOfTheBalance(uint256 balance, uint256 amount, uint256 form) public {
        balance = within(balance, 1, MOST);
        fund(buyer, balance);
        check(within(amount, 0, balance), balance, 0, form);
    }

    /// @dev A new mark replaces the old one and starts the delay again; 0 takes it back.
    function test_requestWithdraw__again(uint256 balance, uint256 first, uint256 second, uint256 later, uint256 form)
        public
    {
        balance = within(balance, 1, MOST);
        fund(buyer, balance);
        check(within(first, 0, balance), balance, 0, form);
        vm.warp(START + _bound(later, 0, 30 days));
        check(within(second, 0, balance), balance, 1, form >> 2);
    }

    function test_requestWithdraw__notMoreThanTheBalance(uint256 balance, uint256 amount) public {
        balance = within(balance, 0, MOST - 1);
        amount = within(amount, balance + 1, MOST);
        fund(buyer, balance);
        expectRefusal(Code.INSUFFICIENT_BALANCE, balance, amount);
        vm.prank(buyer);
        escrow.requestWithdraw(buyer, uint96(amount), 0, "");
    }

    /// @dev I15: the nonce goes up with every request, signed or not, so no signature works twice or late.
    function test_requestWithdraw__signatureWorksOnce(uint256 amount, bool signed) public {
        amount = within(amount, 0, MOST);
        fund(buyer, MOST);
        bytes32 first = digest(Digests.requestWithdraw(buyer, amount, 0, FAR));
        bytes memory sig = sign(buyer, first);
        if (!signed) vm.prank(buyer);
        escrow.requestWithdraw(buyer, uint96(amount), FAR, signed ? sig : bytes(""));

        bytes32 second = digest(Digests.requestWithdraw(buyer, amount, 1, FAR));
        expectBadSignature(ecrecoverOf(second, sig), buyer);
        escrow.requestWithdraw(buyer, uint96(amount), FAR, sig);
    }

    function test_requestWithdraw__onlyByTheOwner(uint256 who, bool bySignature) public {
        fund(buyer, 1);
        address other = [relayer, provider, voucherSigner, guardian][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.requestWithdraw(buyer, 1, 0, FAR)));
        expectBadSignature(other, buyer);
        vm.prank(other);
        escrow.requestWithdraw(buyer, 1, FAR, sig);
    }

    function test_requestWithdraw__lapses(uint256 near) public {
        fund(buyer, 1);
        uint40 deadline = uint40(nearby(START + 1, near));
        bytes memory sig = signCompact(buyer, digest(Digests.requestWithdraw(buyer, 1, 0, deadline)));
        if (deadline <= START) expectRefusal(Code.TOO_LATE, START, deadline);
        escrow.requestWithdraw(buyer, 1, deadline, sig);
    }

    function check(uint256 amount, uint256 balance, uint256 nonce, uint256 form) private {
        (address caller, bytes memory sig) =
            agree(buyer, digest(Digests.requestWithdraw(buyer, amount, nonce, FAR)), anyForm(form));
        uint40 unlockAt = uint40(present()) + WITHDRAW_DELAY;
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.WithdrawRequested(buyer, amount, unlockAt);
        vm.prank(caller);
        escrow.requestWithdraw(buyer, uint96(amount), FAR, sig);
        Funds memory a = Funds(uint96(balance), uint96(amount), unlockAt, uint24(nonce + 1));
        assertEq(abi.encode(escrow.accountOf(buyer)), abi.encode(a));
    }
}
