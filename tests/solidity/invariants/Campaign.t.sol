// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {World} from "./World.sol";

/// @title The invariants under a crowd of people
/// @dev One campaign is one long run: forge forgets everything between runs, and the counts are of the whole campaign.
/// foundry.toml says how long it is; a test of its own is not needed per invariant, all are checked after every call.
contract CampaignTest is Test {
    World private world;

    function setUp() public {
        world = new World();
        world.setUp();
        bytes4[] memory handlers = new bytes4[](34);
        uint256 n = 0;
        handlers[n++] = World.timeGoesOn.selector;
        handlers[n++] = World.deposits.selector;
        handlers[n++] = World.depositsByPermit.selector;
        handlers[n++] = World.requestsWithdrawal.selector;
        handlers[n++] = World.withdraws.selector;
        handlers[n++] = World.withdrawsWhatIsLeft.selector;
        handlers[n++] = World.registersAPolicyAgain.selector;
        handlers[n++] = World.opens_.selector;
        handlers[n++] = World.leavesAMatchResting.selector;
        handlers[n++] = World.opensARestingMatch.selector;
        handlers[n++] = World.cancels.selector;
        handlers[n++] = World.togglesAnApproval.selector;
        handlers[n++] = World.releases.selector;
        handlers[n++] = World.releasesAClaim.selector;
        handlers[n++] = World.stops.selector;
        handlers[n++] = World.disputes.selector;
        handlers[n++] = World.concedes.selector;
        handlers[n++] = World.settles.selector;
        handlers[n++] = World.claims.selector;
        handlers[n++] = World.claimsUnattested.selector;
        handlers[n++] = World.cancelsDeal.selector;
        handlers[n++] = World.cancelsAnExcusedDeal.selector;
        handlers[n++] = World.finalizes.selector;
        handlers[n++] = World.rules.selector;
        handlers[n++] = World.sendsABatch.selector;
        handlers[n++] = World.sendsABatchInVain.selector;
        handlers[n++] = World.pauses.selector;
        handlers[n++] = World.unpauses.selector;
        handlers[n++] = World.schedulesAFee.selector;
        handlers[n++] = World.handsARoleOver.selector;
        handlers[n++] = World.triesSomething.selector;
        handlers[n++] = World.triesARole.selector;
        handlers[n++] = World.tradesWithHimself.selector;
        handlers[n++] = World.opensAnOrderTwice.selector;
        require(n == handlers.length);
        targetContract(address(world));
        targetSelector(FuzzSelector(address(world), handlers));
    }

    function invariant_everyNumberedOneHolds() external {
        world.check();
    }

    function afterInvariant() external {
        world.finish();
    }
}
