// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {IToken, Scene} from "../support/Scene.sol";

/// @dev What the mock tokens do beside being tokens.
interface IMockToken is IToken {
    struct Call {
        address target;
        bytes data;
    }

    function arm(Call[] calldata calls) external;
    function take(address from, uint256 amount) external;
    function setMood(uint8 mood) external;
}

contract DepositTest is Scene {
    uint256 private constant MOST = type(uint96).max;

    function test_deposit__creditsTheReceiver(uint256 first, uint256 second, address from, address to) public {
        vm.assume(from != address(0) && from != address(escrow) && to != address(0) && to != address(escrow));
        first = within(first, 1, MOST - 1);
        second = within(second, 1, MOST - first);
        fund(to, first);
        hand(from, second, second);

        vm.expectEmit(address(escrow));
        emit IMoltEscrow.Deposited(to, from, second);
        vm.prank(from);
        escrow.deposit(to, second);
        assertEq(balanceOf(to), first + second);
        assertEq(token.balanceOf(address(escrow)), first + second);
    }

    function test_deposit__notNothing(address from) public {
        expectRefusal(Code.ZERO_AMOUNT, 0, 1);
        vm.prank(from);
        escrow.deposit(stranger, 0);
    }

    function test_deposit__notToNobodyAndNotToTheEscrow(uint256 amount, bool nobody) public {
        amount = within(amount, 1, MOST);
        hand(buyer, amount, amount);
        address to = nobody ? address(0) : address(escrow);
        expectRefusal(Code.BAD_RECEIVER, uint160(to), 0);
        vm.prank(buyer);
        escrow.deposit(to, amount);
    }

    /// @dev What could be moved is the least of allowance and tokens.
    function test_deposit__asFarAsAllowanceAndTokensGo(uint256 amount, uint256 allowed, uint256 owned) public {
        amount = within(amount, 1, MOST);
        allowed = _bound(allowed, 0, MOST);
        owned = _bound(owned, 0, MOST);
        hand(buyer, owned, allowed);
        uint256 movable = allowed < owned ? allowed : owned;
        if (movable < amount) expectRefusal(Code.TOKEN_REFUSED, movable, amount);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
    }

    function test_deposit__notBeyondTheCap(uint256 inside, uint256 amount) public {
        inside = within(inside, 1, MOST);
        amount = within(amount, MOST - inside + 1, MOST);
        fund(stranger, inside);
        hand(buyer, amount, amount);
        expectRefusal(Code.TOKEN_CAP, inside + amount, MOST);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
    }

    /// @dev Tokens sent past the books belong to nobody, but count against the cap.
    function test_deposit__countsWhatArrivedOnly(uint256 donated, uint256 amount) public {
        donated = within(donated, 1, MOST - 1);
        amount = within(amount, 1, MOST - donated);
        token.mint(address(escrow), donated);
        fund(buyer, amount);
        assertEq(balanceOf(buyer), amount);
        assertEq(token.balanceOf(address(escrow)), donated + amount);
    }

    function test_deposit__ofATokenThatTakesAFee(uint256 amount) public {
        IMockToken odd = useToken("FeeToken.sol:FeeToken");
        amount = within(amount, 100, MOST);
        hand(buyer, amount, amount);
        expectRefusal(Code.INEXACT_TRANSFER, amount - amount / 100, amount);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
        assertEq(odd.balanceOf(buyer), amount);
    }

    /// @dev The token takes from the escrow while it delivers: part of it, all of it, or more.
    function test_deposit__ofATokenThatTakesSomeBack(uint256 inside, uint256 amount, uint256 taken) public {
        IMockToken odd = useToken("ReenteringToken.sol:ReenteringToken");
        inside = within(inside, 1, MOST - 1);
        amount = within(amount, 1, MOST - inside);
        taken = within(taken, 1, inside + amount);
        fund(stranger, inside);
        hand(buyer, amount, amount);
        IMockToken.Call[] memory calls = new IMockToken.Call[](1);
        calls[0] = IMockToken.Call(address(odd), abi.encodeCall(IMockToken.take, (address(escrow), taken)));
        odd.arm(calls);
        expectRefusal(Code.INEXACT_TRANSFER, taken < amount ? amount - taken : 0, amount);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
    }

    /// @dev 1: the token returns false. 2: it returns true and moves nothing.
    function test_deposit__ofATokenThatRefusesOrLies(uint256 amount, bool lies) public {
        IMockToken odd = useToken("RefusingToken.sol:RefusingToken");
        amount = within(amount, 1, MOST);
        hand(buyer, amount, amount);
        odd.setMood(lies ? 2 : 1);
        if (lies) expectRefusal(Code.INEXACT_TRANSFER, 0, amount);
        else expectRefusal(Code.TOKEN_REFUSED, amount, amount);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
    }

    /// @dev A token that answers nothing where it could say true works.
    function test_deposit__ofASilentToken(uint256 amount) public {
        useToken("SilentToken.sol:SilentToken");
        amount = within(amount, 1, MOST);
        token.mint(buyer, amount);
        (bool approved,) = callAs(buyer, address(token), abi.encodeCall(IToken.approve, (address(escrow), amount)));
        assertTrue(approved);
        vm.prank(buyer);
        escrow.deposit(buyer, amount);
        assertEq(balanceOf(buyer), amount);
    }

    function hand(address to, uint256 amount, uint256 allowed) private {
        token.mint(to, amount);
        vm.prank(to);
        token.approve(address(escrow), allowed);
    }

    /// @dev From here on the scene's escrow settles in another token.
    function useToken(string memory what) private returns (IMockToken odd) {
        odd = IMockToken(deployCode(what));
        token = odd;
        escrow = deployEscrow(address(odd), FEE_BPS);
    }
}
