// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Code,
    Deal,
    IMoltEscrow,
    Match,
    Policy,
    Role,
    Side,
    Status,
    Terms
} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {IPanelArbiter} from "../../../contracts/interfaces/IPanelArbiter.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";
import {IToken, Scene} from "../support/Scene.sol";
import {WatchedToken} from "../support/WatchedToken.sol";
import {Step, Steps} from "./Steps.sol";

/// @dev What a deal has taken in and paid out so far, and what speaks for it.
struct Tally {
    uint256 locked; // price and bond
    uint256 stake; // of the buyer
    uint256 earned;
    uint256 fee;
    uint256 back;
    uint256 arbiter;
    uint256 buyer;
    uint256 authorised; // most GPU-seconds that a voucher, a quorum, a ruling, a counter or both parties stand for
    uint256 counter;
    uint256 ruling;
    bool ruled; // by the arbiter
    uint256 paidBefore; // the last verb
    Status statusBefore;
}

/// @dev An account as it should be, and why: its balance is what came in less what its owner spent.
struct Purse {
    uint256 deposited;
    uint256 credited; // by deals
    uint256 spent; // on prices, bonds and stakes
    uint256 withdrawn;
    uint256 withdrawing;
    uint256 unlockAt;
    uint256 nonce;
}

struct Cutoffs {
    uint256 deadBefore;
    uint256 cutoffAt;
}

/// @dev A signed match that nobody has opened yet.
struct Resting {
    bytes encoded;
    bytes32 offerHash;
    bytes32 orderHash;
    address caller; // who may open it
    bool offerApproved; // by digest, not by signature
    bool orderApproved;
    bool tricked; // somebody has begun to cancel, withdraw or revoke
}

struct Call {
    address caller;
    bytes data;
}

/// @title What should be true: books kept beside the contract, from what people did and the model alone
abstract contract Ghost is Scene, Steps {
    using Model for ModelDeal;

    uint256 internal constant MAX_LIVE = 12;

    // people, by what they do
    address[] internal buyers;
    address[] internal providers;
    address[] internal agents;
    address[] internal panelists;
    address[] internal holders; // who may have a role
    address[] internal accounts; // everyone who may have a balance
    address internal thief; // buyer and provider in one person
    address internal accomplice;
    IPanelArbiter internal panel;
    mapping(address person => bool) internal mute; // a wallet that cannot sign

    // deals
    ModelDeal[] internal deals;
    Tally[] internal tallies;
    bytes32[] internal ids;
    uint256[] internal live;
    mapping(bytes32 id => uint256) internal opens; // how many times
    mapping(bytes32 orderHash => uint256) internal opensOfOrder;

    // before deals
    Policy[] internal policies;
    Resting[] internal resting;
    Resting[] internal buried; // cancelled ones
    mapping(address maker => mapping(Side => mapping(uint64 group => Cutoffs))) internal cutoffs;
    mapping(address provider => mapping(uint64 slot => uint256)) internal inUse;
    mapping(address buyer => mapping(uint64 slot => bool)) internal orderUsed;
    mapping(address buyer => uint64) internal nextOrderSlot;
    mapping(address person => mapping(bytes32 digest => uint256)) internal approvedUntil;

    // money
    mapping(address account => Purse) internal purse;
    uint256 internal totalFees;

    // roles
    mapping(Role => address) internal holder;
    mapping(Role => address) internal pending;
    uint256 internal pausedUntil;
    uint256 internal fee;
    uint256 internal nextFee;
    uint256 internal nextFeeFrom;

    // the action under way
    uint256 internal action;
    uint256 private _dice;
    mapping(address person => uint256) internal agreedIn; // the last action that the person agreed to
    bool internal batching;
    uint256 internal itemsRefused; // as foreseen
    uint256 internal refusalsSeen; // as emitted

    function setUp() public override {
        super.setUp();
        useWatchedToken();
        thief = person("thief");
        accomplice = person("thief again");
        for (uint256 i = 0; i < 3; i++) {
            buyers.push(person(string.concat("buyer ", vm.toString(i))));
            providers.push(person(string.concat("provider ", vm.toString(i))));
            agents.push(person(string.concat("agent ", vm.toString(i))));
            holders.push(person(string.concat("holder ", vm.toString(i))));
        }
        mute[buyers[2]] = true;
        mute[providers[2]] = true;
        panelists = sortedPeople("panelist", 3);
        panel = IPanelArbiter(deployCode("PanelArbiter.sol:PanelArbiter", abi.encode(panelists, 2)));
        listAccounts();
        makePolicies();
        (holder[Role.GUARDIAN], holder[Role.FEE_SETTER]) = (guardian, feeSetter);
        nextFee = FEE_BPS;
    }

    // ---------------------------------------------------------------- set-up

    function useWatchedToken() private {
        WatchedToken watched = new WatchedToken();
        token = IToken(address(watched));
        escrow = deployEscrow(address(token), FEE_BPS);
        domain = Digests.domain("MoltEscrow", address(escrow));
        watched.watch(address(escrow), address(this));
    }

    function listAccounts() private {
        for (uint256 i = 0; i < 3; i++) {
            accounts.push(buyers[i]);
            accounts.push(providers[i]);
            accounts.push(holders[i]);
        }
        address[9] memory others =
            [thief, accomplice, feeRecipient, arbiter, address(panel), guardian, feeSetter, relayer, agents[0]];
        for (uint256 i = 0; i < 9; i++) {
            accounts.push(others[i]);
        }
    }

    /// @dev A usual one, a stern one, one without bond and share, one without attestors, one with a panel.
    function makePolicies() private {
        Policy memory p = somePolicy();
        policies.push(p);
        (p.bondBps, p.noticeMinutes, p.threshold, p.arbiterShareBps) = (5_000, 255, 1, 5_000);
        policies.push(p);
        (p.bondBps, p.noticeMinutes, p.threshold, p.arbiterShareBps) = (0, 1, 5, 0);
        policies.push(p);
        (p.bondBps, p.noticeMinutes, p.threshold) = (2_000, 30, 0);
        p.attestorsHash = keccak256(abi.encode(new address[](0)));
        policies.push(p);
        p = somePolicy();
        (p.bondBps, p.threshold, p.arbiter, p.arbiterShareBps) = (3_333, 2, address(panel), 777);
        policies.push(p);
        for (uint256 i = 0; i < policies.length; i++) {
            register(policies[i]);
        }
    }

    // ---------------------------------------------------------------- chance and time

    function begin(uint256 seed) internal {
        action++;
        _dice = uint256(keccak256(abi.encode(seed, action)));
    }

    function roll(uint256 sides) internal returns (uint256) {
        _dice = uint256(keccak256(abi.encode(_dice)));
        return _dice % sides;
    }

    /// @dev Within [least, most], often at either end.
    function rollWithin(uint256 least, uint256 most) internal returns (uint256) {
        uint256 kind = roll(4);
        if (kind == 0) return least;
        if (kind == 1) return most;
        return least + roll(most - least + 1);
    }

    function someone(address[] storage people) internal returns (address) {
        return people[roll(people.length)];
    }

    function waitUntil(uint256 time) internal {
        if (time > present()) vm.warp(time);
    }

    // ---------------------------------------------------------------- sending

    function send(Call memory c) internal {
        (bool done, bytes memory answer) = callAs(c.caller, address(escrow), c.data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function refusal(Code code, uint256 actual, uint256 limit) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IMoltEscrow.Refused.selector, code, actual, limit);
    }

    /// @dev The call has to be refused, for exactly this reason.
    function sendInVain(Call memory c, bytes memory reason) internal {
        (bool done, bytes memory answer) = callAs(c.caller, address(escrow), c.data);
        require(!done, string.concat("not refused: ", vm.toString(reason)));
        assertEq(answer, reason, "refused for another reason");
    }

    /// @dev The person agrees to the digest in some form; in a batch, whose sender is the relayer, not by his own call.
    function consent(address who, bytes32 digest_, bool byOwnCall) internal returns (address caller, bytes memory sig) {
        agreedIn[who] = action;
        bool mayCall = byOwnCall && !batching;
        Form form = mayCall ? Form(roll(4)) : Form(1 + roll(3));
        if (mute[who] && form != Form.OWN_CALL) form = Form.APPROVAL;
        count(Step(uint256(Step.AGREED_BY_OWN_CALL) + uint256(form)));
        if (form == Form.APPROVAL) approvedUntil[who][digest_] = type(uint40).max;
        return agree(who, digest_, form);
    }

    function someDeadline() internal returns (uint40) {
        return uint40(rollWithin(present() + 1, present() + 1 days));
    }

    // ---------------------------------------------------------------- money

    function due(address who) internal view returns (uint256) {
        Purse memory p = purse[who];
        return p.deposited + p.credited - p.spent - p.withdrawn;
    }

    /// @dev The one place where a balance falls for a deal: its owner has agreed in this very action.
    function spend(address who, uint256 amount) internal {
        if (amount == 0) return;
        require(agreedIn[who] == action, "I40: a balance fell without its owner");
        purse[who].spent += amount;
    }

    function ensureFunds(address who, uint256 amount) internal {
        uint256 has = due(who);
        if (has >= amount) return;
        uint256 more = amount - has;
        fund(who, more);
        purse[who].deposited += more;
        count(Step.DEPOSIT);
    }

    // ---------------------------------------------------------------- deals

    function feeNow() internal view returns (uint256) {
        return present() < nextFeeFrom ? fee : nextFee;
    }

    function paused() internal view returns (bool) {
        return present() < pausedUntil;
    }

    function recordOpened(ModelDeal memory d) internal returns (uint256 i) {
        i = deals.length;
        bytes32 id = idOf(d.terms);
        deals.push(d);
        ids.push(id);
        live.push(i);
        opens[id]++;
        opensOfOrder[d.terms.orderHash]++;
        inUse[d.terms.provider][d.terms.slot] += d.terms.gpuCount;
        tallies.push();
        tallies[i].locked = d.held;
        spend(d.terms.buyer, d.price());
        spend(d.terms.provider, d.bond());
    }

    /// @dev What a verb did to a deal, as the model has it.
    function record(uint256 i, ModelDeal memory d, Flow memory f) internal {
        Status was = deals[i].status;
        Tally storage t = tallies[i];
        (t.paidBefore, t.statusBefore) = (deals[i].paid, was);
        t.earned += f.earned;
        t.fee += f.fee;
        t.back += f.back;
        t.arbiter += f.arbiter;
        t.buyer += f.buyer;
        t.stake += f.stake;
        purse[d.terms.provider].credited += f.earned + f.back;
        purse[feeRecipient].credited += f.fee;
        totalFees += f.fee;
        purse[d.policy.arbiter].credited += f.arbiter;
        purse[d.terms.buyer].credited += f.buyer;
        spend(d.terms.buyer, f.stake);
        deals[i] = d;
        if (was == Status.LOCKED && d.status != Status.LOCKED) {
            inUse[d.terms.provider][d.terms.slot] -= d.terms.gpuCount;
        }
        if (paused()) count(Step.EXIT_WHILE_PAUSED);
        if (isClosed(d.status)) bury(i, d.status);
    }

    function bury(uint256 i, Status status) private {
        count(status == Status.RELEASED ? Step.CLOSED_AS_RELEASED : Step.CLOSED_AS_REFUNDED);
        for (uint256 j = 0; j < live.length; j++) {
            if (live[j] != i) continue;
            live[j] = live[live.length - 1];
            live.pop();
            return;
        }
    }

    function isClosed(Status status) internal pure returns (bool) {
        return status == Status.RELEASED || status == Status.REFUNDED;
    }

    function authorise(uint256 i, uint256 units) internal {
        if (units > tallies[i].authorised) tallies[i].authorised = units;
    }

    /// @dev A live deal that fits, any of them; `deals.length` if there is none.
    function find(function(ModelDeal memory) internal view returns (bool) fits) internal returns (uint256) {
        uint256 first = live.length == 0 ? 0 : roll(live.length);
        for (uint256 j = 0; j < live.length; j++) {
            uint256 i = live[(first + j) % live.length];
            if (fits(deals[i])) return i;
        }
        return deals.length;
    }

    /// @dev The end of the policy's set, in the form that a claim brings it.
    function setOf(Policy memory policy) internal view returns (address[] memory) {
        return policy.threshold == 0 ? new address[](0) : attestors;
    }

    // ---------------------------------------------------------------- resting matches

    function isAlive(address maker, Side side, uint64 group, uint256 createdAt) internal view returns (bool) {
        Cutoffs memory c = cutoffs[maker][side][group];
        if (createdAt < c.deadBefore) return false;
        return !(present() >= c.cutoffAt && c.cutoffAt > createdAt);
    }

    function isCancelled(Match memory m) internal view returns (bool) {
        return !isAlive(m.offer.provider, Side.OFFERS, m.offer.slot >> 2, m.offer.createdAt)
            || !isAlive(m.order.buyer, Side.ORDERS, m.order.slot >> 7, m.order.createdAt);
    }

    function termsOfMatch(Match memory m) internal view returns (Terms memory) {
        return termsOf(m.offer, m.order);
    }

    /// @dev Whether a resting match opens now, by the books alone.
    function isOpenable(Resting memory r, Match memory m) internal view returns (bool) {
        uint256 time = present();
        if (paused() || feeNow() > m.offer.maxFeeBps || isCancelled(m)) return false;
        if (time >= m.offer.expiresAt || time >= m.order.expiresAt) return false;
        if (orderUsed[m.order.buyer][m.order.slot]) return false;
        if (inUse[m.offer.provider][m.offer.slot] + m.order.gpuCount > m.offer.gpuCount) return false;
        if (r.offerApproved && time >= approvedUntil[m.offer.provider][r.offerHash]) return false;
        if (r.orderApproved && time >= approvedUntil[m.order.buyer][r.orderHash]) return false;
        ModelDeal memory d;
        d.terms = termsOfMatch(m);
        d.policy = policyOfId(m.offer.policyId);
        return due(m.order.buyer) >= d.price() && due(m.offer.provider) >= d.bond();
    }

    function policyOfId(bytes32 id) internal view returns (Policy memory) {
        for (uint256 i = 0; i < policies.length; i++) {
            if (Digests.policy(policies[i]) == id) return policies[i];
        }
        revert("no such policy");
    }

    // ---------------------------------------------------------------- what would happen if

    /// @dev What `whose` balance would be after the call at that time. Nothing of it stays.
    function balanceIf(Call memory c, uint256 time, address whose) internal returns (uint256) {
        uint256 now_ = present();
        try this.simulate(c, time, whose) {
            revert("a simulation stayed");
        } catch (bytes memory answer) {
            vm.warp(now_);
            require(answer.length == 64, "a call that should work in a simulation did not");
            (, uint256 balance) = abi.decode(answer, (bool, uint256));
            return balance;
        }
    }

    function simulate(Call memory c, uint256 time, address whose) external {
        waitUntil(time);
        send(c);
        bytes memory answer = abi.encode(true, balanceOf(whose));
        assembly ("memory-safe") {
            revert(add(answer, 32), 64)
        }
    }
}
