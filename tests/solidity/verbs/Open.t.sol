// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Code,
    Group,
    IMoltEscrow,
    Match,
    Offer,
    Order,
    Policy,
    Side,
    Terms
} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Model, ModelDeal} from "../support/Model.sol";

/// @dev open and check: every refusal is asked of both.
contract OpenTest is DealScene {
    using Model for ModelDeal;

    // ---------------------------------------------------------------- what it does

    function test_open__locksPriceAndBond(Shape memory s, uint64 orderSlot, uint256 spare) public {
        s = bounded(s);
        Policy memory policy = policyOf(s);
        Offer memory offer = offerOf(s, register(policy));
        Order memory order = orderFor(offer, uint32(s.gpus), uint16(s.hours_));
        order.slot = orderSlot;
        ModelDeal memory d = Model.open(termsOf(offer, order), policy, FEE_BPS, present());
        spare = within(spare, 0, 2 ** 94);
        fund(buyer, d.price() + spare);
        fund(provider, d.bond() + spare);

        Match memory m = Match(offer, order, "", "");
        (, m.offerSig) = agree(provider, digest(Digests.offer(offer)), Form(1 + s.form % 3));
        address caller;
        (caller, m.orderSig) = agree(buyer, digest(Digests.order(order)), anyForm(s.form >> 8));
        assertCheck(m, caller, Code.NONE, 0, 0);
        expectOpened(d);
        vm.prank(caller);
        assertEq(escrow.open(m), idOf(d.terms));
        assertOpened(d, orderSlot, spare);
    }

    /// @dev Any country, region and model; any offer that fits.
    function test_open__ofAnUndemandingOrder(Shape memory s, bool offerNamed) public {
        Match memory m = ready(s);
        (m.order.country, m.order.region, m.order.model) = ("", "", "");
        (m.order.minVramGb, m.order.features) = (0, 0);
        if (offerNamed) m.order.offerHash = digest(Digests.offer(m.offer));
        m.order.maxBudget = type(uint96).max;
        m.order.maxPricePerGpuHour = type(uint96).max;
        assertOpens(m, relayer);
    }

    /// @dev The buyer, the opener, and anyone else if nobody is named.
    function test_open__byWhomTheOrderSays(Shape memory s, uint256 who, bool named) public {
        Match memory m = ready(s);
        m.order.opener = named ? opener : address(0);
        address caller = [opener, buyer, provider, relayer][who % 4];
        if (!named || who % 4 < 2) return assertOpens(m, caller);
        assertRefused(m, caller, Code.NOT_OPENER, uint160(caller), uint160(opener));
    }

    /// @dev Lanes of one slot add up, and other lanes and orders' bits stay as they were.
    function test_open__sharesASlot(uint256 first, uint256 second, uint64 slot, uint64 orderSlot) public {
        Match memory m = ready(plain());
        m.offer.slot = slot;
        (first, second) = (_bound(first, 1, 8), _bound(second, 1, 8));
        m.order.slot = orderSlot;
        m.order.gpuCount = uint32(first);
        assertOpens(m, relayer);
        m.order.slot = orderSlot ^ 1;
        m.order.gpuCount = uint32(second);
        if (first + second > 8) return assertRefused(m, relayer, Code.CAPACITY_EXCEEDED, first + second, 8);
        assertOpens(m, relayer);
        assertEq(escrow.gpusInUse(provider, slot), first + second);
        Group memory offers = escrow.groupOf(provider, Side.OFFERS, slot >> 2);
        assertEq(offers.payload, (first + second) << (32 * (slot % 4)));
        Group memory orders = escrow.groupOf(buyer, Side.ORDERS, orderSlot >> 7);
        assertEq(orders.payload, (1 << (orderSlot % 128)) | (1 << ((orderSlot ^ 1) % 128)));
    }

    /// @dev I33: the deal's id says nothing of the time, the fee or the roles.
    function test_open__idDependsOnOfferAndOrderOnly(Shape memory s, uint256 later, uint256 fee, uint256 who) public {
        Match memory m = ready(s);
        (m.offer.expiresAt, m.order.expiresAt) = (FAR, FAR);
        m = signedMatch(m.offer, m.order);
        uint256 before = vm.snapshotState();
        bytes32 id = escrow.open(m);
        vm.revertToState(before);

        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(within(fee, 0, 300)));
        vm.warp(START + within(later, 0, 365 days));
        vm.prank([buyer, provider, relayer, stranger][who % 4]);
        assertEq(escrow.open(m), id);
        assertEq(escrow.dealIdOf(termsOf(m.offer, m.order)), id);
    }

    // ---------------------------------------------------------------- do offer and order fit

    function test_open__notWithOneself(Shape memory s) public {
        Match memory m = ready(s);
        m.offer.provider = buyer;
        assertRefused(m, relayer, Code.SELF_TRADE, uint160(buyer), uint160(buyer));
    }

    function test_open__onlyTheOfferThatIsNamed(Shape memory s, bytes32 named) public {
        Match memory m = ready(s);
        bytes32 hash = digest(Digests.offer(m.offer));
        vm.assume(named != 0 && named != hash);
        m.order.offerHash = named;
        assertRefused(m, relayer, Code.OFFER_MISMATCH, uint256(hash), uint256(named));
    }

    function test_open__underOnePolicy(Shape memory s, bytes32 other) public {
        Match memory m = ready(s);
        vm.assume(other != m.offer.policyId);
        m.order.policyId = other;
        assertRefused(m, relayer, Code.POLICY_MISMATCH, uint256(m.offer.policyId), uint256(other));
    }

    function test_open__agentAndVoucherSignerAreOthers(Shape memory s, uint256 who) public {
        Match memory m = ready(s);
        if (who % 4 == 3) {
            m.offer.agent = address(0);
            return assertRefused(m, relayer, Code.AGENT_ZERO, 0, 1);
        }
        address forbidden = [address(0), provider, agent][who % 4];
        m.order.voucherSigner = forbidden;
        assertRefused(m, relayer, Code.VOUCHER_SIGNER_FORBIDDEN, uint160(forbidden), uint160(forbidden));
    }

    function test_open__hardwareFits(Shape memory s, uint256 which, uint256 value) public {
        Match memory m = ready(s);
        (Offer memory offer, Order memory order) = (m.offer, m.order);
        if (which % 6 == 0) {
            order.gpuCount = 0;
            return assertRefused(m, relayer, Code.GPU_COUNT_ZERO, 0, 1);
        }
        if (which % 6 == 1) {
            order.minVramGb = uint16(within(value, 81, type(uint16).max));
            return assertRefused(m, relayer, Code.VRAM_BELOW_MINIMUM, offer.vramGb, order.minVramGb);
        }
        if (which % 6 == 2) {
            order.features = uint32(value) | 2; // the one bit that the offer lacks
            return assertRefused(m, relayer, Code.FEATURES_MISSING, offer.features, order.features);
        }
        if (which % 6 == 3) {
            order.country = "FR";
            return assertRefused(m, relayer, Code.COUNTRY_MISMATCH, uint16(offer.country), uint16(order.country));
        }
        if (which % 6 == 4) {
            order.region = bytes32(_bound(value, 1, type(uint128).max));
            return assertRefused(m, relayer, Code.REGION_MISMATCH, uint256(offer.region), uint256(order.region));
        }
        order.model = bytes32(_bound(value, 1, type(uint128).max));
        assertRefused(m, relayer, Code.MODEL_MISMATCH, uint256(offer.model), uint256(order.model));
    }

    function test_open__hoursFit(Shape memory s, uint256 which, uint256 value) public {
        Match memory m = ready(s);
        (Offer memory offer, Order memory order) = (m.offer, m.order);
        if (which % 4 == 0) {
            order.durationHours = uint16(within(value, 8_761, type(uint16).max));
            return assertRefused(m, relayer, Code.DURATION_OUT_OF_RANGE, order.durationHours, 8_760);
        }
        if (which % 4 == 1) {
            order.durationHours = 0;
            return assertRefused(m, relayer, Code.DURATION_OUT_OF_RANGE, 0, 1);
        }
        if (which % 4 == 2) {
            order.durationHours = uint16(within(value, 1, 8_760));
            offer.minCommitmentHours = order.durationHours + 1;
            return
                assertRefused(m, relayer, Code.DURATION_BELOW_COMMITMENT, order.durationHours, offer.minCommitmentHours);
        }
        offer.minCommitmentHours = 0;
        offer.availableHours = order.durationHours - 1;
        assertRefused(m, relayer, Code.DURATION_ABOVE_AVAILABLE, order.durationHours, offer.availableHours);
    }

    /// @dev GPUs x hours x 3,600 is below 2^40: 305,419,896 GPUs for an hour are 2^40 - 2,176.
    function test_open__allocationFitsItsWord(uint256 gpus) public {
        Match memory m = ready(plain());
        gpus = within(gpus, 305_419_897, type(uint32).max);
        (m.offer.gpuCount, m.order.gpuCount) = (uint32(gpus), uint32(gpus));
        m.order.durationHours = 1;
        assertRefused(m, relayer, Code.ALLOCATION_TOO_LARGE, gpus * 3_600, type(uint40).max);
    }

    function test_open__priceFits(Shape memory s, uint256 which) public {
        Match memory m = ready(s);
        uint256 total = uint256(m.offer.pricePerGpuHour) * m.order.gpuCount * m.order.durationHours;
        if (which % 3 == 0) {
            m.order.maxPricePerGpuHour--;
            return
                assertRefused(m, relayer, Code.PRICE_ABOVE_LIMIT, m.offer.pricePerGpuHour, m.order.maxPricePerGpuHour);
        }
        if (which % 3 == 1) {
            m.order.maxBudget--;
            return assertRefused(m, relayer, Code.BUDGET_EXCEEDED, total, total - 1);
        }
        m.offer.pricePerGpuHour = 0;
        assertRefused(m, relayer, Code.PRICE_ZERO, 0, 1);
    }

    // ---------------------------------------------------------------- may it be done now

    function test_open__feeIsAccepted(Shape memory s, uint256 fee, uint256 accepted) public {
        Match memory m = ready(s);
        fee = within(fee, 1, 300);
        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(fee));
        vm.warp(present() + 7 days);
        (m.offer.expiresAt, m.order.expiresAt) = (FAR, FAR);
        m.offer.maxFeeBps = uint16(within(accepted, 0, type(uint16).max));
        if (m.offer.maxFeeBps >= fee) return assertOpens(m, relayer);
        assertRefused(m, relayer, Code.FEE_ABOVE_LIMIT, fee, m.offer.maxFeeBps);
    }

    function test_open__fromCreationToExpiry(Shape memory s, uint256 near, bool orders, bool late) public {
        Match memory m = ready(s);
        uint40 lasts = START + 30 days;
        (m.offer.expiresAt, m.order.expiresAt) = (FAR, FAR);
        if (orders) (m.order.createdAt, m.order.expiresAt) = (START + 1 days, lasts);
        else (m.offer.createdAt, m.offer.expiresAt) = (START + 1 days, lasts);
        vm.warp(nearby(late ? lasts : START + 1 days, near));
        uint256 time = present();
        if (time < START + 1 days) {
            return assertRefused(
                m, relayer, orders ? Code.ORDER_NOT_YET_VALID : Code.OFFER_NOT_YET_VALID, time, START + 1 days
            );
        }
        if (time < lasts) return assertOpens(m, relayer);
        assertRefused(m, relayer, orders ? Code.ORDER_EXPIRED : Code.OFFER_EXPIRED, time, lasts);
    }

    /// @dev I31: an order opens one deal, ever: not after the first one closed, not with another offer.
    function test_open__anOrderOpensOnce(Shape memory s, bool closed, bool otherOffer) public {
        Match memory m = ready(s);
        ModelDeal memory d;
        d.terms = termsOf(m.offer, m.order);
        escrow.open(m);
        if (closed) {
            vm.prank(provider);
            escrow.cancelDeal(d.terms, 0, "");
        }
        if (otherOffer || !closed) m.offer.slot ^= 1;
        m = signedMatch(m.offer, m.order);
        fund(provider, 2 ** 94);
        assertRefused(m, relayer, Code.ORDER_ALREADY_OPENED, m.order.slot, m.order.slot);
    }

    /// @dev Another order on the same slot is the same order: the bit is the slot's.
    function test_open__anOrdersSlotOpensOnce(Shape memory s, bytes32 job) public {
        Match memory m = ready(s);
        escrow.open(m);
        (m.offer.slot, m.order.jobSpecHash) = (m.offer.slot ^ 1, job);
        assertRefused(m, relayer, Code.ORDER_ALREADY_OPENED, m.order.slot, m.order.slot);
    }

    function test_open__policyIsRegistered(Shape memory s, bytes32 unknown) public {
        Match memory m = ready(s);
        vm.assume(unknown != m.offer.policyId);
        (m.offer.policyId, m.order.policyId) = (unknown, unknown);
        assertRefused(m, relayer, Code.POLICY_UNKNOWN, uint256(unknown), 0);
    }

    function test_open__arbiterIsNoParty(Shape memory s, uint256 who) public {
        arbiter = [buyer, voucherSigner, provider, agent][who % 4];
        Match memory m = ready(s);
        assertRefused(m, relayer, Code.ARBITER_IS_PARTY, uint160(arbiter), uint160(arbiter));
    }

    function test_open__needsTheMoney(Shape memory s, uint256 missing, bool buyers) public {
        s = bounded(s);
        if (!buyers) s.bondBps = 5_000;
        s.price = _bound(s.price, 4, 2 ** 60);
        s.gpus = _bound(s.gpus, 1, 1_000);
        Policy memory policy = policyOf(s);
        Offer memory offer = offerOf(s, register(policy));
        Order memory order = orderFor(offer, uint32(s.gpus), uint16(s.hours_));
        ModelDeal memory d = Model.open(termsOf(offer, order), policy, FEE_BPS, present());
        (uint256 price, uint256 bond) = (d.price(), d.bond());
        uint256 has = buyers ? price : bond;
        has -= within(missing, 1, has);
        fund(buyer, buyers ? has : price);
        fund(provider, buyers ? bond : has);
        Match memory m = signedMatch(offer, order);
        if (buyers) assertRefused(m, relayer, Code.BUYER_BALANCE, has, price);
        else assertRefused(m, relayer, Code.PROVIDER_BALANCE, has, bond);
    }

    /// @dev Without a bond the provider needs no account.
    function test_open__withoutABond(Shape memory s) public {
        s.bondBps = 0;
        s = bounded(s);
        s.bondBps = 0;
        Offer memory offer = offerOf(s, register(policyOf(s)));
        Order memory order = orderFor(offer, uint32(s.gpus), uint16(s.hours_));
        fund(buyer, order.maxBudget);
        escrow.open(signedMatch(offer, order));
        assertEq(balanceOf(buyer), 0);
    }

    /// @dev I07, I08: neither side is bound by another one's signature, or by one over another offer or order.
    function test_open__bothHaveSigned(Shape memory s, uint256 who, bool offers, uint256 kind) public {
        Match memory m = ready(s);
        address maker = offers ? provider : buyer;
        bytes32 hash = offers ? digest(Digests.offer(m.offer)) : digest(Digests.order(m.order));
        address other = [agent, voucherSigner, opener, offers ? buyer : provider][who % 4];
        bytes memory sig;
        if (kind % 3 == 0) sig = sign(other, hash);
        if (kind % 3 == 1) sig = signCompact(other, hash);
        if (offers) m.offerSig = sig;
        else m.orderSig = sig;
        assertSpoilt(m, other, Code.BAD_SIGNATURE, uint160(other), uint160(maker));
    }

    /// @dev Wrong lengths, a bad v, a high s: nobody's signature.
    function test_open__malformedSignatures(Shape memory s, uint256 kind, uint256 length, bool offers) public {
        Match memory m = ready(s);
        address maker = offers ? provider : buyer;
        bytes32 hash = offers ? digest(Digests.offer(m.offer)) : digest(Digests.order(m.order));
        bytes memory sig = sign(maker, hash);
        if (kind % 3 == 0) {
            length = within(length, 1, 200);
            if (length == 64 || length == 65) length = 66;
            sig = new bytes(length);
        } else if (kind % 3 == 1) {
            sig[64] = bytes1(uint8(_bound(length, 0, 26)));
        } else {
            sig = highS(sig);
        }
        if (offers) m.offerSig = sig;
        else m.orderSig = sig;
        assertSpoilt(m, relayer, Code.BAD_SIGNATURE, 0, uint160(maker));
    }

    // ---------------------------------------------------------------- parts

    /// @dev A match that opens, with the money it takes.
    function ready(Shape memory s) private returns (Match memory m) {
        s = bounded(s);
        Policy memory policy = policyOf(s);
        m.offer = offerOf(s, register(policy));
        m.order = orderFor(m.offer, uint32(s.gpus), uint16(s.hours_));
        fund(buyer, 2 ** 94);
        fund(provider, 2 ** 94);
        m = signedMatch(m.offer, m.order);
    }

    function plain() private pure returns (Shape memory s) {
        (s.price, s.gpus, s.hours_) = (1, 8, 2);
    }

    function assertCheck(Match memory m, address caller, Code code, uint256 actual, uint256 limit) private view {
        (Code found, uint256 actually, uint256 limited) = escrow.check(m, caller);
        assertEq(abi.encode(found, actually, limited), abi.encode(code, actual, limit), "check");
    }

    /// @dev Signed again after the change, so that only the change can be refused.
    function assertRefused(Match memory m, address caller, Code code, uint256 actual, uint256 limit) private {
        assertSpoilt(signedMatch(m.offer, m.order), caller, code, actual, limit);
    }

    function assertSpoilt(Match memory m, address caller, Code code, uint256 actual, uint256 limit) private {
        assertCheck(m, caller, code, actual, limit);
        expectRefusal(code, actual, limit);
        vm.prank(caller);
        escrow.open(m);
    }

    function assertOpens(Match memory m, address caller) private {
        m = signedMatch(m.offer, m.order);
        assertCheck(m, caller, Code.NONE, 0, 0);
        vm.prank(caller);
        assertEq(escrow.open(m), idOf(termsOf(m.offer, m.order)));
    }

    function assertOpened(ModelDeal memory d, uint64 orderSlot, uint256 spare) private view {
        assertStands(d);
        Purses memory left = purses();
        assertEq(left.buyer, spare);
        assertEq(left.provider, spare);
        assertEq(left.fee, 0);
        assertEq(escrow.groupOf(buyer, Side.ORDERS, orderSlot >> 7).payload, 1 << (orderSlot % 128));
        assertEq(token.balanceOf(address(escrow)), d.held + 2 * spare);
    }

    function expectOpened(ModelDeal memory d) private {
        Terms memory t = d.terms;
        uint256 word = 1 | (d.feeBps << 16) | (uint256(d.policy.bondBps) << 32) | (d.openedAt << 48) | (d.endsAt << 88)
            | (d.deadline << 128) | (uint256(d.policy.noticeMinutes) << 248);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealOpened(
            idOf(t),
            t.buyer,
            t.provider,
            t.voucherSigner,
            t.agent,
            t.pricePerGpuHour,
            t.gpuCount,
            t.duration,
            t.commitment,
            t.slot,
            t.policyId,
            t.orderHash,
            word
        );
    }

    /// @dev The other signature with the same signer, which ECDSA also allows.
    function highS(bytes memory sig) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(sig, (bytes32, bytes32));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(r, order - uint256(s), uint8(sig[64]) == 27 ? uint8(28) : uint8(27));
    }
}
