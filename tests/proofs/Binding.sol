// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Offer, Order, Policy, Side, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {Hashes} from "../../contracts/libraries/Hashes.sol";

import {Proof} from "./Proof.sol";

/// @title What is signed: one hash, one meaning
/// @dev Two requests with the same hash are the same request, field by field and kind by kind. (Of keccak256 it is taken
/// for granted that it has no collisions.)
contract Binding is Proof {
    function setUp() public override {}

    struct Fields {
        bytes32 dealId;
        bytes32 a;
        bytes32 b;
        address account;
        address to;
        uint96 amount;
        uint64 group;
        uint40 units;
        uint40 time;
        uint40 deadline;
        uint24 nonce;
        bool side;
    }

    function check_binding_offer(Offer calldata one, Offer calldata other) public pure {
        vm.assume(Hashes.offer(one) == Hashes.offer(other));
        assert(keccak256(abi.encode(one)) == keccak256(abi.encode(other)));
    }

    function check_binding_order(Order calldata one, Order calldata other) public pure {
        vm.assume(Hashes.order(one) == Hashes.order(other));
        assert(keccak256(abi.encode(one)) == keccak256(abi.encode(other)));
    }

    function check_binding_terms(Terms calldata one, Terms calldata other) public pure {
        (Terms memory loaded, bytes32 hash) = Hashes.loadTerms(one);
        assert(hash == Hashes.terms(one) && keccak256(abi.encode(loaded)) == keccak256(abi.encode(one)));
        vm.assume(hash == Hashes.terms(other));
        assert(keccak256(abi.encode(one)) == keccak256(abi.encode(other)));
    }

    function check_binding_policy(Policy memory one, Policy memory other) public pure {
        vm.assume(Hashes.policy(one) == Hashes.policy(other));
        assert(keccak256(abi.encode(one)) == keccak256(abi.encode(other)));
    }

    /// @dev Of every kind of request: the same hash means the same fields.
    function check_binding_fields(Fields memory one, Fields memory other) public pure {
        bytes32[] memory hashes = all(one);
        bytes32[] memory others = all(other);
        bytes32[] memory meanings = encoded(one);
        bytes32[] memory otherMeanings = encoded(other);
        for (uint256 i = 0; i < KINDS; i++) {
            assert(either(hashes[i] != others[i], meanings[i] == otherMeanings[i]));
        }
    }

    /// @dev No request is one of another kind, whatever their fields. (The other half of the pairs is the same.)
    function check_binding_kinds(Fields memory one, Fields memory other) public pure {
        bytes32[] memory hashes = all(one);
        bytes32[] memory others = all(other);
        for (uint256 i = 0; i < KINDS; i++) {
            bool differs = true;
            for (uint256 j = 0; j < i; j++) {
                differs = both(differs, hashes[i] != others[j]);
            }
            assert(differs);
        }
    }

    /// @dev The same fields do make the same hash: the proofs above are not about hashes that never meet.
    function fails_binding_fields(Fields memory one, Fields memory other) public pure {
        assert(all(one)[0] != all(other)[0]);
    }

    function fails_binding_order(Order calldata one, Order calldata other) public pure {
        assert(Hashes.order(one) != Hashes.order(other));
    }

    // ---------------------------------------------------------------- every kind

    uint256 private constant KINDS = 12;

    function all(Fields memory f) internal pure returns (bytes32[] memory h) {
        h = new bytes32[](KINDS);
        h[0] = Hashes.voucher(f.dealId, f.units);
        h[1] = Hashes.receipt(f.dealId, f.units, f.a, f.b);
        h[2] = Hashes.unattestedClaim(f.dealId, f.units, f.deadline);
        h[3] = Hashes.split(f.dealId, f.units, f.deadline);
        h[4] = Hashes.concede(f.dealId, f.units, f.deadline);
        h[5] = Hashes.dispute(f.dealId, f.units, f.a, f.deadline);
        h[6] = Hashes.stop(f.dealId, f.deadline);
        h[7] = Hashes.cancelDeal(f.dealId, f.deadline);
        h[8] = Hashes.cancelOrders(f.account, f.side ? Side.ORDERS : Side.OFFERS, f.group, f.time, f.deadline);
        h[9] = Hashes.requestWithdraw(f.account, f.amount, f.nonce, f.deadline);
        h[10] = Hashes.withdraw(f.account, f.to, f.nonce, f.deadline);
        h[11] = Hashes.ruling(f.account, f.dealId, f.units, f.deadline);
    }

    /// @dev The fields that each of them has, in an encoding of their own.
    function encoded(Fields memory f) internal pure returns (bytes32[] memory h) {
        h = new bytes32[](KINDS);
        h[0] = keccak256(abi.encode(f.dealId, f.units));
        h[1] = keccak256(abi.encode(f.dealId, f.units, f.a, f.b));
        h[2] = keccak256(abi.encode(f.dealId, f.units, f.deadline));
        h[3] = h[2];
        h[4] = h[2];
        h[5] = keccak256(abi.encode(f.dealId, f.units, f.a, f.deadline));
        h[6] = keccak256(abi.encode(f.dealId, f.deadline));
        h[7] = h[6];
        h[8] = keccak256(abi.encode(f.account, f.side, f.group, f.time, f.deadline));
        h[9] = keccak256(abi.encode(f.account, f.amount, f.nonce, f.deadline));
        h[10] = keccak256(abi.encode(f.account, f.to, f.nonce, f.deadline));
        h[11] = keccak256(abi.encode(f.account, f.dealId, f.units, f.deadline));
    }
}
