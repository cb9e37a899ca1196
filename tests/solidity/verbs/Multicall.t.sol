// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Model, ModelDeal} from "../support/Model.sol";
import {IToken} from "../support/Scene.sol";

/// @dev A token that burns all the gas it is given when it is asked to move, and one that answers with what looks like a
/// refusal of the escrow.
contract OddToken {
    uint8 public constant decimals = 18;
    bytes private _answer;

    function setAnswer(bytes calldata answer) external {
        _answer = answer;
    }

    function balanceOf(address) external view returns (uint256) {
        bytes memory answer = _answer;
        if (answer.length == 0) return 0;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function transferFrom(address, address, uint256) external pure {
        for (uint256 i = 0;; i++) {}
    }
}

contract MulticallTest is DealScene {
    using Model for ModelDeal;

    uint256 private constant ITEM_GAS = 400_000;

    /// @dev What an item does here: a good one of each kind, or one that is refused.
    enum Item {
        APPROVE,
        DEPOSIT,
        VOUCHER,
        REQUEST_WITHDRAW,
        OLD_VOUCHER,
        TOO_EARLY,
        NOT_A_CALL,
        NESTED
    }

    /// @dev I16: with `skip` a batch is its good calls one by one, and each bad one leaves its refusal and nothing else.
    function test_multicall__isItsCallsOneByOne(Shape memory s, uint256 kinds, uint256 count) public {
        ModelDeal memory d = opened(bounded(s));
        count = within(count, 0, 20);
        bytes[] memory calls = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            calls[i] = itemOf(d, Item((kinds >> (8 * i)) % 8), i);
        }
        prepare();
        uint256 before = vm.snapshotState();
        bytes[] memory refusals = oneByOne(calls);
        bytes32 after_ = fingerprint(d);
        vm.revertToState(before);

        for (uint256 i = 0; i < count; i++) {
            if (refusals[i].length == 0) continue;
            (Code code, uint256 actual, uint256 limit) = refusalIn(refusals[i], calls[i], i);
            vm.expectEmit(address(escrow));
            emit IMoltEscrow.ItemRefused(i, code, actual, limit);
        }
        vm.prank(buyer);
        escrow.multicall(calls, true);
        assertEq(fingerprint(d), after_);
    }

    /// @dev Without `skip` the first bad item takes everything back.
    function test_multicall__allOrNothing(Shape memory s, uint256 kinds, uint256 count, uint256 bad) public {
        ModelDeal memory d = opened(bounded(s));
        count = within(count, 1, 20);
        bad = _bound(bad, 0, count - 1);
        bytes[] memory calls = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            calls[i] = itemOf(d, Item((kinds >> (8 * i)) % 4), i);
        }
        prepare();
        uint256 before = vm.snapshotState();
        vm.prank(buyer);
        escrow.multicall(calls, false);
        vm.revertToState(before);

        calls[bad] = abi.encodeCall(IMoltEscrow.finalize, (d.terms));
        bytes32 was = fingerprint(d);
        expectRefusal(Code.TOO_EARLY, present(), d.deadline);
        vm.prank(buyer);
        escrow.multicall(calls, false);
        assertEq(fingerprint(d), was);
    }

    function test_multicall__atMost200(uint256 count, bool skip) public {
        count = within(count, 201, 1_000);
        expectRefusal(Code.TOO_MANY_CALLS, count, 200);
        escrow.multicall(new bytes[](count), skip);
    }

    function test_multicall__200Vouchers(Shape memory s) public {
        ModelDeal memory d = opened(bounded(s));
        bytes[] memory calls = new bytes[](200);
        for (uint256 i = 0; i < 200; i++) {
            calls[i] = abi.encodeCall(IMoltEscrow.release, (d.terms, uint40(i + 1), voucher(d, i + 1)));
        }
        escrow.multicall(calls, true);
        assertEq(escrow.dealOf(idOf(d.terms)).paid, 200);
    }

    function test_multicall__notNested(bool skip, uint256 position) public {
        position = _bound(position, 0, 10);
        bytes[] memory calls = new bytes[](position + 1);
        for (uint256 i = 0; i < position; i++) {
            calls[i] = abi.encodeCall(IMoltEscrow.approve, (bytes32(i)));
        }
        calls[position] = abi.encodeCall(IMoltEscrow.multicall, (new bytes[](0), skip));
        if (skip) {
            vm.expectEmit(address(escrow));
            emit IMoltEscrow.ItemRefused(position, Code.NESTED_MULTICALL, position, 0);
        } else {
            expectRefusal(Code.NESTED_MULTICALL, position, 0);
        }
        escrow.multicall(calls, skip);
    }

    /// @dev Each item of a skipping batch gets the same gas, or the batch stops: nobody can starve one.
    function test_multicall__needsEachItemsGas(uint256 gas_, uint256 count) public {
        count = _bound(count, 1, 3);
        bytes[] memory calls = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            calls[i] = abi.encodeCall(IMoltEscrow.approve, (bytes32(i)));
        }
        gas_ = _bound(gas_, 100_000, 800_000);
        try escrow.multicall{gas: gas_}(calls, true) {
            for (uint256 i = 0; i < count; i++) {
                assertEq(escrow.approvedUntil(address(this), bytes32(i)), type(uint40).max);
            }
        } catch (bytes memory answer) {
            (Code code, uint256 left, uint256 needed) = decode(answer);
            assertEq(uint256(code), uint256(Code.BATCH_GAS));
            assertEq(needed, (ITEM_GAS * 64) / 63 + 20_000);
            assertLt(left, needed);
            assertEq(escrow.approvedUntil(address(this), 0), 0);
        }
    }

    /// @dev An item that burns all it gets harms no other one.
    function test_multicall__aGasBurningItem(uint256 position, bytes32 what) public {
        useOddToken();
        position = _bound(position, 0, 4);
        bytes[] memory calls = new bytes[](5);
        for (uint256 i = 0; i < 5; i++) {
            calls[i] = abi.encodeCall(IMoltEscrow.approve, (what));
        }
        calls[position] = abi.encodeCall(IMoltEscrow.deposit, (buyer, 1));
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.ItemRefused(position, Code.MALFORMED_CALL, 0, 0);
        escrow.multicall{gas: 6 * 450_000}(calls, true);
        assertEq(escrow.approvedUntil(address(this), what), type(uint40).max);
    }

    /// @dev Revert data that is no refusal, or only looks like one, is a malformed call; NONE is no code of a refusal.
    function test_multicall__forgedRefusals(uint256 kind, uint256 code, uint256 actual, bytes4 selector) public {
        vm.assume(selector != IMoltEscrow.Refused.selector);
        kind %= 5;
        if (kind != 1) selector = IMoltEscrow.Refused.selector;
        uint256 last = uint256(type(Code).max);
        if (kind == 0) code = within(code, 1, last);
        if (kind == 2) code = within(code, last + 1, type(uint256).max);
        if (kind == 4) code = uint256(Code.NONE);
        bytes memory answer = abi.encodeWithSelector(selector, code, actual, 7);
        if (kind == 3) answer = bytes.concat(answer, hex"00");
        useOddToken().setAnswer(answer);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IMoltEscrow.deposit, (buyer, 1));

        vm.expectEmit(address(escrow));
        if (kind == 0) emit IMoltEscrow.ItemRefused(0, Code(code), actual, 7);
        else emit IMoltEscrow.ItemRefused(0, Code.MALFORMED_CALL, answer.length, 0);
        escrow.multicall(calls, true);

        if (kind == 0) expectRefusal(Code(code), actual, 7);
        else expectRefusal(Code.MALFORMED_CALL, answer.length, 0);
        escrow.multicall(calls, false);
    }

    // ---------------------------------------------------------------- parts

    function itemOf(ModelDeal memory d, Item kind, uint256 i) private returns (bytes memory) {
        if (kind == Item.APPROVE) return abi.encodeCall(IMoltEscrow.approve, (bytes32(i)));
        if (kind == Item.DEPOSIT) return abi.encodeCall(IMoltEscrow.deposit, (stranger, i + 1));
        if (kind == Item.VOUCHER) {
            return abi.encodeCall(IMoltEscrow.release, (d.terms, uint40(i + 1), voucher(d, i + 1)));
        }
        if (kind == Item.REQUEST_WITHDRAW) {
            return abi.encodeCall(IMoltEscrow.requestWithdraw, (buyer, uint96(i), 0, ""));
        }
        if (kind == Item.OLD_VOUCHER) return abi.encodeCall(IMoltEscrow.release, (d.terms, 0, voucher(d, 0)));
        if (kind == Item.TOO_EARLY) return abi.encodeCall(IMoltEscrow.finalize, (d.terms));
        if (kind == Item.NOT_A_CALL) return abi.encodePacked(i);
        return abi.encodeCall(IMoltEscrow.multicall, (new bytes[](i), true));
    }

    /// @dev The buyer has what a deposit takes.
    function prepare() private {
        token.mint(buyer, 1_000);
        vm.prank(buyer);
        token.approve(address(escrow), 1_000);
    }

    function oneByOne(bytes[] memory calls) private returns (bytes[] memory refusals) {
        refusals = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            bool nested = bytes4(calls[i]) == IMoltEscrow.multicall.selector;
            (bool done, bytes memory answer) = nested ? (false, bytes("")) : callAs(buyer, address(escrow), calls[i]);
            if (!done) refusals[i] = bytes.concat("!", answer);
        }
    }

    function refusalIn(bytes memory marked, bytes memory call_, uint256 i)
        private
        pure
        returns (Code, uint256, uint256)
    {
        if (bytes4(call_) == IMoltEscrow.multicall.selector) {
            return (Code.NESTED_MULTICALL, i, 0);
        }
        if (marked.length != 101) return (Code.MALFORMED_CALL, marked.length - 1, 0);
        bytes memory answer = new bytes(100);
        for (uint256 j = 0; j < 100; j++) {
            answer[j] = marked[j + 1];
        }
        return decode(answer);
    }

    function decode(bytes memory answer) private pure returns (Code code, uint256 actual, uint256 limit) {
        assertEq(answer.length, 100);
        assertEq(bytes4(answer), IMoltEscrow.Refused.selector);
        assembly {
            code := mload(add(answer, 36))
            actual := mload(add(answer, 68))
            limit := mload(add(answer, 100))
        }
    }

    /// @dev All that the items could have changed.
    function fingerprint(ModelDeal memory d) private view returns (bytes32) {
        bytes32 approvals;
        for (uint256 i = 0; i < 20; i++) {
            approvals = keccak256(abi.encode(approvals, escrow.approvedUntil(buyer, bytes32(i))));
        }
        return keccak256(
            abi.encode(
                approvals,
                purses(),
                escrow.accountOf(buyer),
                escrow.accountOf(stranger),
                escrow.dealOf(idOf(d.terms)),
                token.balanceOf(address(escrow))
            )
        );
    }

    function useOddToken() private returns (OddToken odd) {
        odd = new OddToken();
        token = IToken(address(odd));
        escrow = deployEscrow(address(odd), FEE_BPS);
    }
}
