// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Code} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {IPanelArbiter} from "../../../contracts/interfaces/IPanelArbiter.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";
import {IToken} from "../support/Scene.sol";

interface IDenylistToken is IToken {
    function deny(address account, bool isDenied) external;
}

contract PanelArbiterTest is DealScene {
    using Model for ModelDeal;

    IPanelArbiter private panel;
    address[] private members;

    // ---------------------------------------------------------------- deployment

    function test_panel__isWhatItWasMadeOf(uint256 count, uint256 threshold) public {
        assemble(count, threshold);
        assertEq(abi.encode(panel.members()), abi.encode(members));
        assertLe(panel.threshold(), members.length);
    }

    function test_panel__hasAtMostSixteenMembers(uint256 count) public {
        members = new address[](within(count, 17, 40));
        assertNotMade(1, abi.encodeWithSelector(IPanelArbiter.TooManyMembers.selector, members.length, 16));
    }

    function test_panel__thresholdIsWithinItsMembers(uint256 count, uint256 threshold, bool none) public {
        members = sortedPeople("member", within(count, 1, 16));
        threshold = none ? 0 : within(threshold, members.length + 1, type(uint256).max);
        assertNotMade(threshold, abi.encodeWithSelector(IPanelArbiter.BadThreshold.selector, threshold, members.length));
    }

    function test_panel__membersAscend(uint256 one, uint256 other) public {
        members = sortedPeople("member", 5);
        one = _bound(one, 1, 4);
        other = _bound(other, 0, one - 1);
        members[one] = members[other];
        assertNotMade(
            1, abi.encodeWithSelector(IPanelArbiter.MembersNotAscending.selector, members[one], members[one - 1])
        );
    }

    // ---------------------------------------------------------------- rule

    function test_rule__byAQuorum(Shape memory s, uint256 units, uint256 counter, uint256 ruling, uint256 quorum)
        public
    {
        (ModelDeal memory d, uint40 deadline) = before(s, units, counter);
        ruling = within(ruling, d.paid, d.claim);
        uint256 count = within(quorum, panel.threshold(), members.length);
        bytes memory sigs = signed(d, ruling, deadline, count, _bound(quorum >> 8, 0, members.length - count));
        Purses memory was = purses();
        Flow memory f = d.resolve(ruling, d.policy.arbiterShareBps);
        vm.expectEmit(address(panel));
        emit IPanelArbiter.Ruled(address(escrow), idOf(d.terms), ruling);
        panel.rule(escrow, d.terms, uint40(ruling), deadline, sigs);
        assertMoved(d, f, was);
    }

    function test_rule__lapses(Shape memory s, uint256 near) public {
        (ModelDeal memory d,) = before(s, 1, 0);
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sigs = signed(d, 0, deadline, members.length, 0);
        if (deadline <= present()) {
            vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.RulingExpired.selector, present(), uint256(deadline)));
        }
        panel.rule(escrow, d.terms, 0, deadline, sigs);
    }

    function test_rule__needsTheThreshold(Shape memory s, uint256 count, uint256 cut) public {
        (ModelDeal memory d, uint40 deadline) = before(s, 1, 0);
        bool whole = cut % 2 == 0;
        count = whole ? within(count, 0, panel.threshold() - 1) : panel.threshold();
        bytes memory sigs = signed(d, 0, deadline, count, 0);
        if (!whole) sigs = bytes.concat(sigs, new bytes(_bound(cut, 1, 63)));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NoQuorum.selector, count, panel.threshold()));
        panel.rule(escrow, d.terms, 0, deadline, sigs);
    }

    /// @dev A stranger, a member twice, members out of order: the walk through the set does not find them.
    function test_rule__onlyMembersAndEachOnce(Shape memory s, uint256 kind, uint256 who) public {
        (ModelDeal memory d, uint40 deadline) = before(s, 1, 0);
        bytes32 wanted = rulingDigest(d, 0, deadline);
        address odd = kind % 2 == 0 ? stranger : members[_bound(who, 0, members.length - 1)];
        bytes memory sigs = signed(d, 0, deadline, members.length, 0);
        sigs = bytes.concat(sigs, signCompact(odd, wanted));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotAMember.selector, odd));
        panel.rule(escrow, d.terms, 0, deadline, sigs);
    }

    /// @dev The panel's own domain: a signature for the escrow's Ruling is none of the panel's.
    function test_rule__ofAnotherDomain(Shape memory s) public {
        (ModelDeal memory d, uint40 deadline) = before(s, 1, 0);
        bytes32 escrows = digest(Digests.ruling(address(escrow), idOf(d.terms), 0, deadline));
        (bytes32 r, bytes32 vs) = vm.signCompact(keyOf[members[0]], escrows);
        bytes memory sigs;
        for (uint256 i = 0; i < members.length; i++) {
            sigs = bytes.concat(sigs, r, vs);
        }
        uint8 v = uint8(27 + (uint256(vs) >> 255));
        address found = ecrecover(rulingDigest(d, 0, deadline), v, r, bytes32((uint256(vs) << 1) >> 1));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotAMember.selector, found));
        panel.rule(escrow, d.terms, 0, deadline, sigs);
    }

    // ---------------------------------------------------------------- shares

    function test_shares__goToTheMembersInEqualParts(uint256 count, uint256 amount, uint256 late) public {
        assemble(count, 1);
        amount = within(amount, 1, type(uint96).max);
        fund(address(panel), amount);
        panel.requestShares(escrow);
        vm.warp(START + WITHDRAW_DELAY + within(late, 0, 365 days));
        uint256 part = amount / members.length;
        vm.expectEmit(address(panel));
        emit IPanelArbiter.SharesPaid(address(token), part);
        withdrawShares();
        for (uint256 i = 0; i < members.length; i++) {
            assertEq(token.balanceOf(members[i]), part);
        }
        assertEq(token.balanceOf(address(panel)), amount - part * members.length); // the dust waits
    }

    /// @dev A new mark would start the delay again, for ever.
    function test_shares__oneMarkAtATime(uint256 amount, uint256 later) public {
        assemble(3, 1);
        fund(address(panel), within(amount, 1, type(uint96).max));
        panel.requestShares(escrow);
        vm.warp(START + within(later, 0, 30 days));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.SharesPending.selector, uint256(START + WITHDRAW_DELAY)));
        panel.requestShares(escrow);
    }

    /// @dev A mark of nothing would use up a nonce of the panel's account, and there are 2^24.
    function test_shares__noneToMark(uint256 amount) public {
        assemble(3, 1);
        assertNoShares();
        fund(address(panel), within(amount, 1, type(uint96).max));
        panel.requestShares(escrow);
        vm.warp(START + WITHDRAW_DELAY);
        withdrawShares();
        assertNoShares();
    }

    function test_shares__notBeforeTheDelay(uint256 amount, uint256 early) public {
        assemble(3, 1);
        fund(address(panel), within(amount, 1, type(uint96).max));
        panel.requestShares(escrow);
        vm.warp(within(early, START, START + WITHDRAW_DELAY - 1));
        expectRefusal(Code.TOO_EARLY, present(), START + WITHDRAW_DELAY);
        withdrawShares();
    }

    /// @dev What lies with the panel itself is split without any mark.
    function test_shares__withoutAMark(uint256 count, uint256 amount) public {
        assemble(count, 1);
        amount = within(amount, 0, type(uint96).max);
        token.mint(address(panel), amount);
        withdrawShares();
        assertEq(token.balanceOf(members[0]), amount / members.length);
    }

    /// @dev A member that the token refuses to pay holds up nobody.
    function test_shares__aRefusedMember(uint256 count, uint256 amount, uint256 who) public {
        IDenylistToken odd = IDenylistToken(deployCode("DenylistToken.sol:DenylistToken"));
        (token, escrow) = (odd, deployEscrow(address(odd), FEE_BPS));
        assemble(within(count, 2, 16), 1);
        who = _bound(who, 0, members.length - 1);
        amount = within(amount, members.length, type(uint96).max);
        odd.deny(members[who], true);
        token.mint(address(panel), amount);
        withdrawShares();
        for (uint256 i = 0; i < members.length; i++) {
            assertEq(token.balanceOf(members[i]), i == who ? 0 : amount / members.length);
        }
    }

    // ---------------------------------------------------------------- parts

    function assemble(uint256 count, uint256 threshold) private {
        members = sortedPeople("member", within(count, 1, 16));
        panel = IPanelArbiter(made(within(threshold, 1, members.length)));
    }

    function made(uint256 threshold) private returns (address) {
        return deployCode("PanelArbiter.sol:PanelArbiter", abi.encode(members, threshold));
    }

    function assertNotMade(uint256 threshold, bytes memory reason) private {
        bytes memory code = bytes.concat(vm.getCode("PanelArbiter.sol:PanelArbiter"), abi.encode(members, threshold));
        (bool done, bytes memory answer) = address(this).call(abi.encodeCall(this.create_, (code)));
        assertFalse(done);
        assertEq(answer, reason);
    }

    /// @dev Creates a contract, or reverts as its constructor does.
    function create_(bytes calldata code) external {
        bytes memory memoryCode = code;
        assembly ("memory-safe") {
            if iszero(create(0, add(memoryCode, 32), mload(memoryCode))) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    /// @dev A dispute under a panel of five, three of whom rule.
    function before(Shape memory s, uint256 units, uint256 counter)
        private
        returns (ModelDeal memory d, uint40 deadline)
    {
        assemble(5 << 2 | 2, 3 << 2 | 2);
        arbiter = address(panel);
        d = disputed(bounded(s), units, false, counter);
        deadline = uint40(present() + 1 hours);
    }

    function assertNoShares() private {
        bytes memory was = abi.encode(escrow.accountOf(address(panel)));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NoShares.selector));
        panel.requestShares(escrow);
        assertEq(abi.encode(escrow.accountOf(address(panel))), was);
    }

    function rulingDigest(ModelDeal memory d, uint256 units, uint256 deadline) private view returns (bytes32) {
        bytes32 structHash = Digests.ruling(address(escrow), idOf(d.terms), units, deadline);
        return Digests.typed(Digests.domain("PanelArbiter", address(panel)), structHash);
    }

    function signed(ModelDeal memory d, uint256 units, uint256 deadline, uint256 count, uint256 first)
        private
        view
        returns (bytes memory sigs)
    {
        bytes32 wanted = rulingDigest(d, units, deadline);
        for (uint256 i = 0; i < count; i++) {
            sigs = bytes.concat(sigs, signCompact(members[first + i], wanted));
        }
    }

    function withdrawShares() private {
        panel.withdrawShares(escrow, IERC20(address(token)));
    }
}
