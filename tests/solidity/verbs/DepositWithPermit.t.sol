// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {IToken, Scene} from "../support/Scene.sol";

contract DepositWithPermitTest is Scene {
    uint256 private constant MOST = type(uint96).max;

    struct Permit {
        uint256 amount;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function test_depositWithPermit__creditsTheOwnerWhoeverBringsIt(uint256 amount, uint256 lasts, bool own) public {
        amount = within(amount, 1, MOST);
        token.mint(buyer, amount);
        Permit memory p = permitOf(amount, START + within(lasts, 0, 365 days));
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.Deposited(buyer, buyer, amount);
        send(own ? buyer : relayer, p);
        assertEq(balanceOf(buyer), amount);
        assertEq(balanceOf(relayer), 0);
        assertEq(token.allowance(buyer, address(escrow)), 0);
    }

    /// @dev Somebody used the permit first: the owner's own call goes by the allowance, another one's does not.
    function test_depositWithPermit__usedBefore(uint256 amount, bool own) public {
        amount = within(amount, 1, MOST);
        token.mint(buyer, amount);
        Permit memory p = permitOf(amount, FAR);
        token.permit(buyer, address(escrow), p.amount, p.deadline, p.v, p.r, p.s);
        if (!own) expectRefusal(Code.PERMIT_REFUSED, 1, 2);
        send(own ? buyer : relayer, p);
        assertEq(balanceOf(buyer), own ? amount : 0);
    }

    /// @dev An old allowance is not the owner's word that he wants to deposit now.
    function test_depositWithPermit__othersNeedAPermit(uint256 amount, uint256 spoilt) public {
        amount = within(amount, 1, MOST);
        token.mint(buyer, amount);
        vm.prank(buyer);
        token.approve(address(escrow), amount);
        Permit memory p = permitOf(amount, FAR);
        if (spoilt % 4 == 0) p.v ^= 7;
        if (spoilt % 4 == 1) p.r = ~p.r;
        if (spoilt % 4 == 2) p.deadline = START - 1;
        if (spoilt % 4 == 3) p.amount -= 1;
        expectRefusal(Code.PERMIT_REFUSED, 0, 1);
        send(relayer, p);
    }

    function test_depositWithPermit__ownersBadPermitNeedsAnAllowance(uint256 amount, uint256 allowed) public {
        amount = within(amount, 1, MOST);
        allowed = _bound(allowed, 0, MOST);
        token.mint(buyer, amount);
        vm.prank(buyer);
        token.approve(address(escrow), allowed);
        Permit memory nonsense = Permit(amount, FAR, 27, bytes32(uint256(1)), bytes32(uint256(2)));
        if (allowed < amount) expectRefusal(Code.TOKEN_REFUSED, allowed, amount);
        send(buyer, nonsense);
    }

    function test_depositWithPermit__notNothing() public {
        Permit memory p = permitOf(0, FAR);
        expectRefusal(Code.ZERO_AMOUNT, 0, 1);
        send(relayer, p);
    }

    /// @dev Tokens that know no permits: they may swallow the call, count nonces that never move, or revert.
    function test_depositWithPermit__ofATokenWithoutPermits(uint256 amount, uint256 which, bool own) public {
        string[3] memory tokens = [
            "PhantomPermitToken.sol:PhantomPermitToken",
            "PhantomPermitToken.sol:CountingPhantomToken",
            "FeeToken.sol:FeeToken"
        ];
        token = IToken(deployCode(tokens[which % 3]));
        escrow = deployEscrow(address(token), FEE_BPS);
        amount = within(amount, 1, 99); // FeeToken's fee on less than 100 is 0
        token.mint(buyer, amount);
        vm.prank(buyer);
        token.approve(address(escrow), amount);
        if (!own) expectRefusal(Code.PERMIT_REFUSED, 0, 1);
        send(own ? buyer : relayer, Permit(amount, FAR, 27, "r", "s"));
        assertEq(balanceOf(buyer), own ? amount : 0);
    }

    function permitOf(uint256 amount, uint256 deadline) private view returns (Permit memory p) {
        bytes32 structHash = Digests.permit(buyer, address(escrow), amount, token.nonces(buyer), deadline);
        (p.v, p.r, p.s) = vm.sign(keyOf[buyer], Digests.typed(Digests.domain("MOLT", address(token)), structHash));
        p.amount = amount;
        p.deadline = deadline;
    }

    function send(address caller, Permit memory p) private {
        vm.prank(caller);
        escrow.depositWithPermit(buyer, p.amount, p.deadline, p.v, p.r, p.s);
    }
}
