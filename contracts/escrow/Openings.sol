// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Group, IMoltEscrow, Match, Offer, Order, Policy, Side, Terms} from "../interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../libraries/Deals.sol";
import {Hashes} from "../libraries/Hashes.sol";
import {Lanes} from "../libraries/Lanes.sol";
import {Matching} from "../libraries/Matching.sol";
import {Money} from "../libraries/Money.sol";
import {Policies} from "../libraries/Policies.sol";
import {Accounts} from "./Accounts.sol";
import {Roles} from "./Roles.sol";

/// @title From a signed offer and a signed order to a deal
abstract contract Openings is Accounts, Roles {
    using Lanes for uint128;

    mapping(bytes32 dealId => DealWord) internal _deals;
    mapping(bytes32 policyId => Policy) internal _policies;
    mapping(address maker => mapping(uint256 key => Group)) private _groups;

    /// @inheritdoc IMoltEscrow
    function cancel(address account, Side side, uint64 group, uint40 deadline, bytes calldata sig) external {
        Group storage g = _groups[account][Lanes.key(side, group)];
        uint40 cutoffAt = g.cutoffAt;
        _requireSigned(account, Hashes.cancelOrders(account, side, group, cutoffAt, deadline), deadline, sig);
        if (block.timestamp < cutoffAt) revert Refused(Code.CANCEL_PENDING, block.timestamp, cutoffAt);

        g.deadBefore = cutoffAt;
        cutoffAt = uint40(block.timestamp) + cancelDelay;
        g.cutoffAt = cutoffAt;
        emit OrdersCancelled(account, side, group, cutoffAt);
    }

    /// @inheritdoc IMoltEscrow
    function registerPolicy(Policy memory policy, address[] calldata attestors) external returns (bytes32 policyId) {
        policyId = Hashes.policy(policy);
        if (_policies[policyId].arbiter != address(0)) return policyId; // nobody gains by doing it first
        (Code code, uint256 actual, uint256 limit) = Policies.refusal(policy, attestors);
        _refuseIf(code, actual, limit);

        _policies[policyId] = policy;
        emit PolicyRegistered(policyId, policy, attestors);
    }

    /// @dev What `open` has read and worked out when all its checks are made.
    struct Opening {
        bytes32 offerHash;
        bytes32 orderHash;
        uint256 price;
        uint256 bond;
        uint256 feeBps;
        uint256 bondBps;
        DealWord deal;
    }

    /// @inheritdoc IMoltEscrow
    function open(Match calldata m) external returns (bytes32 dealId) {
        Opening memory o;
        (Code code, uint256 actual, uint256 limit) = _openRefusal(o, m, msg.sender);
        _refuseIf(code, actual, limit);

        Terms memory terms = Matching.terms(m.offer, m.order, o.orderHash);
        dealId = _hashTypedDataV4(Hashes.terms(terms));
        Group storage offers = _offerGroup(terms.provider, terms.slot);
        offers.payload = offers.payload.take(terms.slot, terms.gpuCount);
        Group storage orders = _orderGroup(terms.buyer, m.order.slot);
        orders.payload = orders.payload.setOpened(m.order.slot);
        _accounts[terms.buyer].balance -= uint96(o.price);
        if (o.bond != 0) _accounts[terms.provider].balance -= uint96(o.bond);
        _deals[dealId] = o.deal;
        _emitOpened(dealId, terms, o.deal);
    }

    /// @inheritdoc IMoltEscrow
    function check(Match calldata m, address opener) external view returns (Code, uint256, uint256) {
        Opening memory o;
        return _openRefusal(o, m, opener);
    }

    /// @inheritdoc IMoltEscrow
    function policyOf(bytes32 policyId) external view returns (Policy memory) {
        return _policies[policyId];
    }

    /// @inheritdoc IMoltEscrow
    function groupOf(address account, Side side, uint64 group) external view returns (Group memory) {
        return _groups[account][Lanes.key(side, group)];
    }

    /// @inheritdoc IMoltEscrow
    function gpusInUse(address provider, uint64 slot) external view returns (uint32) {
        return uint32(_offerGroup(provider, slot).payload.gpusInUse(slot));
    }

    function _freeGpus(Terms memory terms) internal {
        Group storage group = _offerGroup(terms.provider, terms.slot);
        group.payload = group.payload.give(terms.slot, terms.gpuCount);
    }

    /// @dev All that `open` checks. Fills `o` on the way.
    function _openRefusal(Opening memory o, Match calldata m, address opener)
        private
        view
        returns (Code code, uint256 actual, uint256 limit)
    {
        o.offerHash = _hashTypedDataV4(Hashes.offer(m.offer));
        o.orderHash = _hashTypedDataV4(Hashes.order(m.order));
        (code, actual, limit) = Matching.refusal(m.offer, m.order, o.offerHash);
        if (code == Code.NONE) (code, actual, limit) = _configRefusal(o, m.offer);
        if (code == Code.NONE) (code, actual, limit) = _offerRefusal(m.offer, m.order.gpuCount);
        if (code == Code.NONE) (code, actual, limit) = _orderRefusal(m.order, opener);
        if (code == Code.NONE) (code, actual, limit) = _policyRefusal(o, m.offer, m.order);
        if (code == Code.NONE) (code, actual, limit) = _fundsRefusal(o, m.offer, m.order);
        if (code == Code.NONE) {
            (code, actual, limit) = _signerRefusal(m.offer.provider, o.offerHash, m.offerSig, opener);
        }
        if (code == Code.NONE) {
            (code, actual, limit) = _signerRefusal(m.order.buyer, o.orderHash, m.orderSig, opener);
        }
    }

    function _configRefusal(Opening memory o, Offer calldata offer) private view returns (Code, uint256, uint256) {
        if (block.timestamp < _pausedUntil()) return (Code.PAUSED, block.timestamp, _pausedUntil());
        uint256 fee = feeBps();
        if (fee > offer.maxFeeBps) return (Code.FEE_ABOVE_LIMIT, fee, offer.maxFeeBps);
        o.feeBps = fee;
        return (Code.NONE, 0, 0);
    }

    function _offerRefusal(Offer calldata offer, uint256 gpuCount) private view returns (Code, uint256, uint256) {
        uint256 createdAt = offer.createdAt;
        if (block.timestamp < createdAt) return (Code.OFFER_NOT_YET_VALID, block.timestamp, createdAt);
        if (block.timestamp >= offer.expiresAt) return (Code.OFFER_EXPIRED, block.timestamp, offer.expiresAt);
        Group memory group = _offerGroup(offer.provider, offer.slot);
        uint256 aliveFrom = Lanes.aliveFrom(group, block.timestamp);
        if (createdAt < aliveFrom) return (Code.OFFER_CANCELLED, createdAt, aliveFrom);
        uint256 inUse = group.payload.gpusInUse(offer.slot) + gpuCount;
        if (inUse > offer.gpuCount) return (Code.CAPACITY_EXCEEDED, inUse, offer.gpuCount);
        return (Code.NONE, 0, 0);
    }

    function _orderRefusal(Order calldata order, address opener) private view returns (Code, uint256, uint256) {
        if (order.opener != address(0) && opener != order.opener && opener != order.buyer) {
            return (Code.NOT_OPENER, uint160(opener), uint160(order.opener));
        }
        uint256 createdAt = order.createdAt;
        if (block.timestamp < createdAt) return (Code.ORDER_NOT_YET_VALID, block.timestamp, createdAt);
        if (block.timestamp >= order.expiresAt) return (Code.ORDER_EXPIRED, block.timestamp, order.expiresAt);
        Group memory group = _orderGroup(order.buyer, order.slot);
        uint256 aliveFrom = Lanes.aliveFrom(group, block.timestamp);
        if (createdAt < aliveFrom) return (Code.ORDER_CANCELLED, createdAt, aliveFrom);
        if (group.payload.opened(order.slot)) return (Code.ORDER_ALREADY_OPENED, order.slot, order.slot);
        return (Code.NONE, 0, 0);
    }

    function _policyRefusal(Opening memory o, Offer calldata offer, Order calldata order)
        private
        view
        returns (Code, uint256, uint256)
    {
        Policy storage policy = _policies[offer.policyId];
        address arbiter = policy.arbiter;
        if (arbiter == address(0)) return (Code.POLICY_UNKNOWN, uint256(offer.policyId), 0);
        if (
            arbiter == order.buyer || arbiter == order.voucherSigner || arbiter == offer.provider
                || arbiter == offer.agent
        ) return (Code.ARBITER_IS_PARTY, uint160(arbiter), uint160(arbiter));

        o.bondBps = policy.bondBps;
        uint256 endsAt = block.timestamp + order.durationHours * Money.SECONDS_PER_HOUR;
        o.deal = Deals.opened(o.feeBps, o.bondBps, policy.noticeMinutes, endsAt, endsAt + policy.grace);
        return (Code.NONE, 0, 0);
    }

    function _fundsRefusal(Opening memory o, Offer calldata offer, Order calldata order)
        private
        view
        returns (Code, uint256, uint256)
    {
        o.price = uint256(offer.pricePerGpuHour) * order.gpuCount * order.durationHours;
        uint256 balance = _accounts[order.buyer].balance;
        if (balance < o.price) return (Code.BUYER_BALANCE, balance, o.price);
        o.bond = Money.part(o.price, o.bondBps);
        if (o.bond != 0) {
            balance = _accounts[offer.provider].balance;
            if (balance < o.bond) return (Code.PROVIDER_BALANCE, balance, o.bond);
        }
        return (Code.NONE, 0, 0);
    }

    function _offerGroup(address provider, uint64 slot) private view returns (Group storage) {
        return _groups[provider][Lanes.key(Side.OFFERS, Lanes.offerGroup(slot))];
    }

    function _orderGroup(address buyer, uint64 slot) private view returns (Group storage) {
        return _groups[buyer][Lanes.key(Side.ORDERS, Lanes.orderGroup(slot))];
    }

    function _emitOpened(bytes32 dealId, Terms memory terms, DealWord deal) private {
        emit DealOpened(
            dealId,
            terms.buyer,
            terms.provider,
            terms.voucherSigner,
            terms.agent,
            terms.pricePerGpuHour,
            terms.gpuCount,
            terms.duration,
            terms.commitment,
            terms.slot,
            terms.policyId,
            terms.orderHash,
            DealWord.unwrap(deal)
        );
    }
}
