// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Code, IMoltEscrow, Match, Offer, Order, Policy, Terms} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "./Digests.sol";

/// @dev The part of the token that tests use.
interface IToken {
    function mint(address to, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
    function allowance(address owner, address spender) external view returns (uint256);
    function balanceOf(address owner) external view returns (uint256);
    function nonces(address owner) external view returns (uint256);
    function permit(address owner, address spender, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

/// @title An escrow on a fresh chain, and people who can sign
/// @dev Contracts are deployed from their artefacts, so a change of a test does not compile a contract again.
abstract contract Scene is Test {
    /// @dev How a person agrees: by his own call, by a signature of either length that another one brings, or by a
    /// digest that he approved on chain.
    enum Form {
        OWN_CALL,
        SIGNATURE_65,
        SIGNATURE_64,
        APPROVAL
    }

    uint40 internal constant WITHDRAW_DELAY = 15 minutes;
    uint40 internal constant CANCEL_DELAY = 20 minutes; // not the same, so that neither can stand for the other
    uint16 internal constant FEE_BPS = 100;
    uint40 internal constant START = 1_900_000_000;
    uint40 internal constant FAR = START + 3_650 days;
    bytes32 internal constant MODEL = keccak256("H100");

    IMoltEscrow internal escrow;
    IToken internal token;
    bytes32 internal domain;
    mapping(address person => uint256) internal keyOf;

    address internal buyer = person("buyer");
    address internal voucherSigner = person("voucher signer");
    address internal provider = person("provider");
    address internal agent = person("agent");
    address internal arbiter = person("arbiter");
    address internal opener = person("opener");
    address internal relayer = person("relayer");
    address internal stranger = person("stranger");
    address internal guardian = person("guardian");
    address internal feeSetter = person("fee setter");
    address internal feeRecipient = person("fee recipient");
    address[] internal attestors;

    function setUp() public virtual {
        vm.warp(START);
        token = IToken(deployCode("MoltToken.sol:MoltToken", abi.encode("MOLT", "MOLT", uint8(18))));
        escrow = deployEscrow(address(token), FEE_BPS);
        domain = Digests.domain("MoltEscrow", address(escrow));
        attestors = sortedPeople("attestor", 5);
    }

    function deployEscrow(address token_, uint16 feeBps) internal returns (IMoltEscrow) {
        bytes memory values =
            abi.encode(token_, feeRecipient, guardian, feeSetter, feeBps, WITHDRAW_DELAY, CANCEL_DELAY);
        return IMoltEscrow(deployCode("MoltEscrow.sol:MoltEscrow", values));
    }

    /// @dev The second it is now. (`block.timestamp` may be read again later than it is written, compiled through the IR.)
    function present() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    // ---------------------------------------------------------------- people

    function person(string memory name) internal returns (address who) {
        uint256 key = uint256(keccak256(bytes(name)));
        who = vm.addr(key);
        keyOf[who] = key;
        vm.label(who, name);
    }

    function sortedPeople(string memory name, uint256 count) internal returns (address[] memory people) {
        people = new address[](count);
        for (uint256 i = 0; i < count; i++) {
            address next = person(string.concat(name, " ", vm.toString(i)));
            uint256 j = i;
            for (; j > 0 && people[j - 1] > next; j--) {
                people[j] = people[j - 1];
            }
            people[j] = next;
        }
    }

    // ---------------------------------------------------------------- signatures

    function digest(bytes32 structHash) internal view returns (bytes32) {
        return Digests.typed(domain, structHash);
    }

    function sign(address who, bytes32 digest_) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[who], digest_);
        return abi.encodePacked(r, s, v);
    }

    function signCompact(address who, bytes32 digest_) internal view returns (bytes memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(keyOf[who], digest_);
        return abi.encodePacked(r, vs);
    }

    /// @dev Whom a 65-byte signature names over this digest, which it may not have been made for.
    function ecrecoverOf(bytes32 digest_, bytes memory sig) internal pure returns (address) {
        (bytes32 r, bytes32 s) = abi.decode(sig, (bytes32, bytes32));
        return ecrecover(digest_, uint8(sig[64]), r, s);
    }

    /// @dev Who makes the call, and with which signature, when `who` agrees to the digest in this form.
    function agree(address who, bytes32 digest_, Form form) internal returns (address caller, bytes memory sig) {
        if (form == Form.OWN_CALL) return (who, "");
        if (form == Form.SIGNATURE_65) return (relayer, sign(who, digest_));
        if (form == Form.SIGNATURE_64) return (relayer, signCompact(who, digest_));
        vm.prank(who);
        escrow.approve(digest_);
        return (relayer, "");
    }

    /// @dev Signatures of `count` attestors from the `first` one on, one after the other.
    function attested(bytes32 receipt, uint256 count, uint256 first) internal view returns (bytes memory sigs) {
        for (uint256 i = 0; i < count; i++) {
            sigs = bytes.concat(sigs, signCompact(attestors[first + i], receipt));
        }
    }

    function anyForm(uint256 seed) internal pure returns (Form) {
        return Form(seed % 4);
    }

    // ---------------------------------------------------------------- money

    function fund(address who, uint256 amount) internal {
        if (amount == 0) return;
        token.mint(address(this), amount);
        token.approve(address(escrow), amount);
        escrow.deposit(who, amount);
    }

    function balanceOf(address who) internal view returns (uint256) {
        return escrow.accountOf(who).balance;
    }

    // ---------------------------------------------------------------- offers, orders, policies

    function somePolicy() internal view returns (Policy memory) {
        return Policy({
            arbiter: arbiter,
            bondBps: 1_000,
            challenge: 4 hours,
            grace: 3 hours,
            noticeMinutes: 15,
            threshold: 3,
            arbitration: 2 days,
            arbiterShareBps: 500,
            attestorsHash: keccak256(abi.encode(attestors))
        });
    }

    /// @dev The policy's id; its set is `attestors`, or nobody for a threshold of 0.
    function register(Policy memory policy) internal returns (bytes32) {
        return escrow.registerPolicy(policy, policy.threshold == 0 ? new address[](0) : attestors);
    }

    function someOffer(bytes32 policyId) internal view returns (Offer memory) {
        return Offer({
            provider: provider,
            agent: agent,
            pricePerGpuHour: 10 ether,
            gpuCount: 8,
            vramGb: 80,
            features: 5,
            country: "DE",
            region: "eu-central",
            model: MODEL,
            availableHours: 8_760,
            minCommitmentHours: 1,
            createdAt: uint40(present()),
            expiresAt: uint40(present()) + 1 days,
            maxFeeBps: 300,
            slot: 6,
            policyId: policyId,
            metadataHash: keccak256("metadata")
        });
    }

    /// @dev An order that the offer fits, down to the last limit.
    function orderFor(Offer memory offer, uint32 gpus, uint16 hours_) internal view returns (Order memory) {
        return Order({
            buyer: buyer,
            voucherSigner: voucherSigner,
            maxPricePerGpuHour: offer.pricePerGpuHour,
            maxBudget: uint96(uint256(offer.pricePerGpuHour) * gpus * hours_),
            gpuCount: gpus,
            minVramGb: offer.vramGb,
            features: offer.features,
            country: offer.country,
            region: offer.region,
            model: offer.model,
            durationHours: hours_,
            createdAt: uint40(present()),
            expiresAt: uint40(present()) + 1 days,
            slot: 130,
            policyId: offer.policyId,
            offerHash: 0,
            opener: address(0),
            jobSpecHash: keccak256("job")
        });
    }

    function signedMatch(Offer memory offer, Order memory order) internal view returns (Match memory) {
        return Match({
            offer: offer,
            order: order,
            offerSig: sign(offer.provider, digest(Digests.offer(offer))),
            orderSig: signCompact(order.buyer, digest(Digests.order(order)))
        });
    }

    function termsOf(Offer memory offer, Order memory order) internal view returns (Terms memory) {
        return Terms({
            buyer: order.buyer,
            voucherSigner: order.voucherSigner,
            provider: offer.provider,
            agent: offer.agent,
            pricePerGpuHour: offer.pricePerGpuHour,
            gpuCount: order.gpuCount,
            duration: uint32(order.durationHours) * 1 hours,
            commitment: uint32(offer.minCommitmentHours) * 1 hours,
            slot: offer.slot,
            policyId: offer.policyId,
            orderHash: digest(Digests.order(order))
        });
    }

    function idOf(Terms memory terms) internal view returns (bytes32) {
        return digest(Digests.terms(terms));
    }

    // ---------------------------------------------------------------- refusals

    function expectRefusal(Code code, uint256 actual, uint256 limit) internal {
        vm.expectRevert(abi.encodeWithSelector(IMoltEscrow.Refused.selector, code, actual, limit));
    }

    function callAs(address who, address target, bytes memory data) internal returns (bool done, bytes memory answer) {
        vm.prank(who);
        (done, answer) = target.call(data);
    }

    /// @dev The next call comes from one whose signature is not `signer`'s, and who has no approval.
    function expectBadSignature(address found, address signer) internal {
        expectRefusal(Code.BAD_SIGNATURE, uint160(found), uint160(signer));
    }

    /// @dev The least, the most, or anything between them.
    function within(uint256 seed, uint256 least, uint256 most) internal pure returns (uint256) {
        if (seed % 4 == 0) return least;
        if (seed % 4 == 1) return most;
        return _bound(seed >> 2, least, most);
    }

    /// @dev `time` at a boundary or near it: one second before, at, after, or a random second of the next day.
    function nearby(uint256 time, uint256 seed) internal pure returns (uint256) {
        if (seed % 4 == 3) return time + (seed >> 2) % 1 days;
        return time - 1 + seed % 4;
    }
}
