// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {Hashes} from "../../contracts/libraries/Hashes.sol";

import {Proof} from "./Proof.sol";

/// @title Nothing happens to a deal or a balance without him whose word it takes
/// @dev For each verb: called by anybody else, without his approval of this very request, or with a signature of it that
/// is not his, it is refused, whatever state the deal is in and whatever else has been signed or approved. That one
/// digest means one request is proven in Binding.sol.
contract Agreement is Proof {
    struct Call {
        Terms terms;
        address caller;
        uint40 time;
        uint40 deadline;
        uint40 gpuSeconds;
        bytes32 evidence;
    }

    // ---------------------------------------------------------------- deals

    function check_agreement_stop(Call memory c) public {
        bytes32 digest = digestOf(Hashes.stop(dealOf(c), c.deadline));
        bytes memory sig = notBy(c, BUYER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.stop, (c.terms, c.deadline, ""))));
        assert(!calledBySignature(c, abi.encodeCall(IMoltEscrow.stop, (c.terms, c.deadline, sig))));
    }

    function check_agreement_dispute(Call memory c) public {
        bytes32 digest = digestOf(Hashes.dispute(dealOf(c), c.gpuSeconds, c.evidence, c.deadline));
        bytes memory sig = notBy(c, BUYER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.dispute, (c.terms, c.gpuSeconds, c.evidence, c.deadline, ""))));
        bytes memory signed = abi.encodeCall(IMoltEscrow.dispute, (c.terms, c.gpuSeconds, c.evidence, c.deadline, sig));
        assert(!calledBySignature(c, signed));
    }

    function check_agreement_cancelDeal(Call memory c) public {
        bytes32 digest = digestOf(Hashes.cancelDeal(dealOf(c), c.deadline));
        bytes memory sig = notBy(c, PROVIDER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, c.deadline, ""))));
        assert(!calledBySignature(c, abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, c.deadline, sig))));
    }

    function check_agreement_claimUnattested(Call memory c) public {
        bytes32 digest = digestOf(Hashes.unattestedClaim(dealOf(c), c.gpuSeconds, c.deadline));
        bytes memory sig = notBy(c, PROVIDER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.claimUnattested, (c.terms, c.gpuSeconds, c.deadline, ""))));
        bytes memory signed = abi.encodeCall(IMoltEscrow.claimUnattested, (c.terms, c.gpuSeconds, c.deadline, sig));
        assert(!calledBySignature(c, signed));
    }

    function check_agreement_resolve(Call memory c) public {
        bytes32 dealId = dealOf(c);
        vm.assume(escrow.policyOf(c.terms.policyId).arbiter == ARBITER);
        bytes32 digest = digestOf(Hashes.ruling(address(escrow), dealId, c.gpuSeconds, c.deadline));
        bytes memory sig = notBy(c, ARBITER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.resolve, (c.terms, c.gpuSeconds, c.deadline, ""))));
        bytes memory signed = abi.encodeCall(IMoltEscrow.resolve, (c.terms, c.gpuSeconds, c.deadline, sig));
        assert(!calledBySignature(c, signed));
    }

    /// @dev Up to the claim the buyer gives in, down to what is paid the provider; here neither does.
    function check_agreement_concede(Call memory c) public {
        bytes32 digest = digestOf(Hashes.concede(dealOf(c), c.gpuSeconds, c.deadline));
        bytes memory sig = notBy(c, BUYER, digest);
        vm.assume(c.caller != PROVIDER);
        vm.assume(escrow.approvedUntil(PROVIDER, digest) <= c.time);
        vm.assume(signer != PROVIDER);
        assert(!called(abi.encodeCall(IMoltEscrow.concede, (c.terms, c.gpuSeconds, c.deadline, ""))));
        bytes memory signed = abi.encodeCall(IMoltEscrow.concede, (c.terms, c.gpuSeconds, c.deadline, sig));
        assert(!calledBySignature(c, signed));
    }

    /// @dev A voucher: by the key that the order names.
    function check_agreement_release(Call memory c) public {
        c.terms.voucherSigner = BUYER;
        bytes32 digest = digestOf(Hashes.voucher(dealOf(c), c.gpuSeconds));
        bytes memory sig = notBy(c, BUYER, digest);
        assert(!called(abi.encodeCall(IMoltEscrow.release, (c.terms, c.gpuSeconds, ""))));
        assert(!calledBySignature(c, abi.encodeCall(IMoltEscrow.release, (c.terms, c.gpuSeconds, sig))));
    }

    // ---------------------------------------------------------------- balances and offers

    function check_agreement_requestWithdraw(Call memory c, uint96 amount) public {
        uint24 nonce = escrow.accountOf(BUYER).nonce;
        bytes memory sig = notBy(c, BUYER, digestOf(Hashes.requestWithdraw(BUYER, amount, nonce, c.deadline)));
        assert(!called(abi.encodeCall(IMoltEscrow.requestWithdraw, (BUYER, amount, c.deadline, ""))));
        bytes memory signed = abi.encodeCall(IMoltEscrow.requestWithdraw, (BUYER, amount, c.deadline, sig));
        assert(!calledBySignature(c, signed));
    }

    function check_agreement_withdraw(Call memory c, address to) public {
        uint24 nonce = escrow.accountOf(BUYER).nonce;
        bytes memory sig = notBy(c, BUYER, digestOf(Hashes.withdraw(BUYER, to, nonce, c.deadline)));
        assert(!called(abi.encodeCall(IMoltEscrow.withdraw, (BUYER, to, c.deadline, ""))));
        assert(!calledBySignature(c, abi.encodeCall(IMoltEscrow.withdraw, (BUYER, to, c.deadline, sig))));
    }

    // ---------------------------------------------------------------- with his word it works

    function fails_agreement_stop(Call memory c) public {
        dealOf(c);
        warp(c);
        vm.prank(BUYER);
        assert(!called(abi.encodeCall(IMoltEscrow.stop, (c.terms, c.deadline, ""))));
    }

    function fails_agreement_requestWithdraw(Call memory c, uint96 amount) public {
        warp(c);
        bytes memory sig = svm.createBytes(65, "sig");
        assert(!called(abi.encodeCall(IMoltEscrow.requestWithdraw, (BUYER, amount, c.deadline, sig))));
    }

    // ---------------------------------------------------------------- parts

    address internal signer; // of the signature that notBy made

    /// @dev It is not `party` who calls, nor has he approved the digest; and 65 bytes that are not his signature of it.
    function notBy(Call memory c, address party, bytes32 digest) internal returns (bytes memory sig) {
        warp(c);
        vm.assume(c.caller != party);
        vm.assume(escrow.approvedUntil(party, digest) <= c.time);
        sig = svm.createBytes(65, "sig");
        bytes32 r;
        bytes32 s;
        uint8 v = uint8(sig[64]);
        assembly {
            r := mload(add(sig, 32))
            s := mload(add(sig, 64))
        }
        signer = ecrecover(digest, v, r, s);
        vm.assume(signer != party);
        vm.prank(c.caller);
    }

    function called(bytes memory data) internal returns (bool done) {
        (done,) = address(escrow).call(data);
    }

    function calledBySignature(Call memory c, bytes memory data) internal returns (bool) {
        vm.prank(c.caller);
        return called(data);
    }

    function warp(Call memory c) internal {
        vm.assume(c.time < END_OF_TIME);
        vm.warp(c.time);
    }

    function dealOf(Call memory c) internal view returns (bytes32) {
        c.terms.buyer = BUYER;
        c.terms.provider = PROVIDER;
        return escrow.dealIdOf(c.terms);
    }

    /// @dev EIP-712, in the escrow's domain.
    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("MoltEscrow"),
                keccak256("1"),
                block.chainid,
                escrow
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
