// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Account as Funds, Code, IMoltEscrow, Match, Offer, Order} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {IToken, Scene} from "../support/Scene.sol";
import {IMockToken} from "./Deposit.t.sol";

contract WithdrawTest is Scene {
    uint256 private constant MOST = type(uint96).max;

    function test_withdraw__paysWhatWasMarked(uint256 balance, uint256 amount, uint256 late, uint256 form, address to)
        public
    {
        vm.assume(to != address(0) && to != address(escrow));
        balance = within(balance, 1, MOST);
        amount = within(amount, 1, balance);
        marked(balance, amount);
        vm.warp(START + WITHDRAW_DELAY + within(late, 0, 365 days));
        (address caller, bytes memory sig) = agree(buyer, digest(Digests.withdraw(buyer, to, 1, FAR)), anyForm(form));

        vm.expectEmit(address(escrow));
        emit IMoltEscrow.Withdrawn(buyer, to, amount);
        vm.prank(caller);
        escrow.withdraw(buyer, to, FAR, sig);
        assertEq(token.balanceOf(to), amount);
        assertEq(token.balanceOf(address(escrow)), balance - amount);
        Funds memory a = Funds(uint96(balance - amount), 0, START + WITHDRAW_DELAY, 2);
        assertEq(abi.encode(escrow.accountOf(buyer)), abi.encode(a));
    }

    /// @dev I10: until it is withdrawn a deal may still spend the marked amount; then the rest is paid.
    function test_withdraw__paysWhatDealsHaveLeft(uint256 spare, uint256 amount, uint256 price) public {
        Offer memory offer = someOffer(register(somePolicy()));
        offer.pricePerGpuHour = uint96(within(price, 1, 2 ** 94));
        Order memory order = orderFor(offer, 1, 1);
        Match memory m = signedMatch(offer, order);
        fund(provider, offer.pricePerGpuHour);
        spare = within(spare, 1, 2 ** 94);
        amount = within(amount, 1, offer.pricePerGpuHour + spare);
        marked(offer.pricePerGpuHour + spare, amount);
        vm.warp(START + WITHDRAW_DELAY - 1);
        escrow.open(m);
        vm.warp(START + WITHDRAW_DELAY);
        vm.prank(buyer);
        escrow.withdraw(buyer, buyer, 0, "");
        assertEq(token.balanceOf(buyer), amount < spare ? amount : spare);
        assertEq(balanceOf(buyer), amount < spare ? spare - amount : 0);
    }

    function test_withdraw__notBeforeTheDelay(uint256 amount, uint256 early) public {
        marked(MOST, within(amount, 1, MOST));
        vm.warp(within(early, START, START + WITHDRAW_DELAY - 1));
        expectRefusal(Code.TOO_EARLY, present(), START + WITHDRAW_DELAY);
        vm.prank(buyer);
        escrow.withdraw(buyer, buyer, 0, "");
    }

    function test_withdraw__nothingIsMarked(uint256 balance, bool takenBack) public {
        if (takenBack) marked(within(balance, 1, MOST), 0);
        vm.warp(START + WITHDRAW_DELAY);
        expectRefusal(Code.ZERO_AMOUNT, 0, 1);
        vm.prank(buyer);
        escrow.withdraw(buyer, buyer, 0, "");
    }

    function test_withdraw__notTwice(uint256 amount) public {
        marked(MOST, within(amount, 1, MOST));
        vm.warp(START + WITHDRAW_DELAY);
        bytes memory sig = sign(buyer, digest(Digests.withdraw(buyer, stranger, 1, FAR)));
        escrow.withdraw(buyer, stranger, FAR, sig);
        bytes32 next = digest(Digests.withdraw(buyer, stranger, 2, FAR));
        expectBadSignature(ecrecoverOf(next, sig), buyer);
        escrow.withdraw(buyer, stranger, FAR, sig);
        expectRefusal(Code.ZERO_AMOUNT, 0, 1);
        vm.prank(buyer);
        escrow.withdraw(buyer, stranger, 0, "");
    }

    function test_withdraw__notToNobodyAndNotToTheEscrow(bool nobody) public {
        marked(1, 1);
        vm.warp(START + WITHDRAW_DELAY);
        address to = nobody ? address(0) : address(escrow);
        expectRefusal(Code.BAD_RECEIVER, uint160(to), 0);
        vm.prank(buyer);
        escrow.withdraw(buyer, to, 0, "");
    }

    function test_withdraw__onlyByTheOwner(uint256 who, bool bySignature) public {
        marked(1, 1);
        vm.warp(START + WITHDRAW_DELAY);
        address other = [relayer, provider, voucherSigner, guardian][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.withdraw(buyer, other, 1, FAR)));
        expectBadSignature(other, buyer);
        vm.prank(other);
        escrow.withdraw(buyer, other, FAR, sig);
    }

    /// @dev The signature names the receiver.
    function test_withdraw__notToAnotherReceiver(address signed, address to) public {
        vm.assume(signed != to);
        marked(1, 1);
        vm.warp(START + WITHDRAW_DELAY);
        bytes memory sig = sign(buyer, digest(Digests.withdraw(buyer, signed, 1, FAR)));
        expectBadSignature(ecrecoverOf(digest(Digests.withdraw(buyer, to, 1, FAR)), sig), buyer);
        escrow.withdraw(buyer, to, FAR, sig);
    }

    function test_withdraw__lapses(uint256 near) public {
        marked(1, 1);
        uint40 time = START + WITHDRAW_DELAY;
        vm.warp(time);
        uint40 deadline = uint40(nearby(time + 1, near));
        bytes memory sig = sign(buyer, digest(Digests.withdraw(buyer, buyer, 1, deadline)));
        if (deadline <= time) expectRefusal(Code.TOO_LATE, time, deadline);
        escrow.withdraw(buyer, buyer, deadline, sig);
    }

    /// @dev A token that refuses leaves the account as it was.
    function test_withdraw__ofATokenThatRefuses(uint256 amount) public {
        IMockToken odd = IMockToken(deployCode("RefusingToken.sol:RefusingToken"));
        (token, escrow) = (odd, deployEscrow(address(odd), FEE_BPS));
        marked(MOST, within(amount, 1, MOST));
        bytes memory before = abi.encode(escrow.accountOf(buyer));
        vm.warp(START + WITHDRAW_DELAY);
        odd.setMood(1);
        expectRefusal(Code.TOKEN_REFUSED, MOST, escrow.accountOf(buyer).withdrawing);
        vm.prank(buyer);
        escrow.withdraw(buyer, buyer, 0, "");
        assertEq(abi.encode(escrow.accountOf(buyer)), before);
    }

    function marked(uint256 balance, uint256 amount) private {
        fund(buyer, balance);
        vm.prank(buyer);
        escrow.requestWithdraw(buyer, uint96(amount), 0, "");
    }
}
