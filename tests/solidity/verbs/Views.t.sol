// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Code,
    Group,
    IMoltEscrow,
    Match,
    Offer,
    Side,
    Status,
    Terms
} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Shape} from "../support/Deal.sol";
import {ModelDeal} from "../support/Model.sol";

/// @dev The getters that the deployment fixes.
interface IDeployed {
    function token() external view returns (address);
    function feeRecipient() external view returns (address);
    function withdrawDelay() external view returns (uint40);
    function cancelDelay() external view returns (uint40);
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory);
}

contract ViewsTest is DealScene {
    function test_dealIdOf__isTheTermsDigest(Terms memory terms) public view {
        assertEq(escrow.dealIdOf(terms), idOf(terms));
    }

    function test_views__ofWhatIsUnknownAreEmpty(address who, bytes32 what, uint64 group, bool orders) public view {
        Side side = orders ? Side.ORDERS : Side.OFFERS;
        assertEq(uint256(escrow.dealOf(what).status), uint256(Status.NONE));
        assertEq(escrow.policyOf(what).arbiter, address(0));
        assertEq(abi.encode(escrow.groupOf(who, side, group)), abi.encode(Group(0, 0, 0)));
        assertEq(escrow.gpusInUse(who, group), 0);
        assertEq(escrow.approvedUntil(who, what), 0);
        assertEq(balanceOf(who), 0);
    }

    function test_views__saySomethingOfTheDeployment() public view {
        IDeployed deployed = IDeployed(address(escrow));
        assertEq(deployed.token(), address(token));
        assertEq(deployed.feeRecipient(), feeRecipient);
        assertEq(deployed.withdrawDelay(), WITHDRAW_DELAY);
        assertEq(deployed.cancelDelay(), CANCEL_DELAY);
        assertEq(escrow.feeBps(), FEE_BPS);
        (, string memory name, string memory version,, address contract_,,) = deployed.eip712Domain();
        assertEq(string.concat(name, version), "MoltEscrow1");
        assertEq(contract_, address(escrow));
    }

    /// @dev I23: a dirty bit anywhere in terms gives another hash, and no deal has that.
    function test_terms__dirtyBitsAreNoDeal(Shape memory s, uint256 word, uint256 bit) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(d.deadline);
        bytes memory call_ = abi.encodeCall(IMoltEscrow.finalize, (d.terms));
        flip(call_, word % 11, bit % 256);
        (bool done, bytes memory answer) = callAs(relayer, address(escrow), call_);
        assertFalse(done);
        assertEq(
            answer,
            abi.encodeWithSelector(
                IMoltEscrow.Refused.selector, Code.WRONG_STATUS, uint256(Status.NONE), uint256(Status.LOCKED)
            )
        );
        escrow.finalize(d.terms);
    }

    /// @dev I23: neither does a match open with one bit changed, wherever it lies.
    function test_match__anyOtherBitIsRefused(Shape memory s, uint256 word, uint256 bit) public {
        s = bounded(s);
        Offer memory offer = offerOf(s, register(policyOf(s)));
        Match memory m = signedMatch(offer, orderFor(offer, uint32(s.gpus), uint16(s.hours_)));
        fund(buyer, 2 ** 94);
        fund(provider, 2 ** 94);
        bytes memory call_ = abi.encodeCall(IMoltEscrow.open, (m));
        flip(call_, 1 + word % 35, bit % 256); // 17 words of offer, 18 of order, after the tuple's offset
        (bool done,) = callAs(relayer, address(escrow), call_);
        assertFalse(done);
        escrow.open(m);
    }

    function flip(bytes memory call_, uint256 word, uint256 bit) private pure {
        uint256 position = 4 + word * 32 + 31 - bit / 8;
        call_[position] = bytes1(uint8(call_[position]) ^ uint8(1 << (bit % 8)));
    }
}
