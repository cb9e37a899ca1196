// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow} from "../../contracts/interfaces/IMoltEscrow.sol";

interface Vm {
    function assume(bool condition) external pure;
    function getCode(string calldata file) external view returns (bytes memory);
    function load(address account, bytes32 slot) external view returns (bytes32);
    function prank(address caller) external;
    function store(address account, bytes32 slot, bytes32 word) external;
    function warp(uint256 time) external;
}

interface SymbolicVm {
    function createAddress(string memory name) external returns (address);
    function createBytes(uint256 size, string memory name) external returns (bytes memory);
    function enableSymbolicStorage(address account) external;
}

/// @dev The escrow asks it at its deployment only: no proof here moves tokens.
contract DecimalsOnly {
    uint8 public constant decimals = 18;
}

/// @title The deployed escrow, with anything in its storage
/// @dev A function `check_...` is proven, for all arguments, callers, times and contents of the storage. A function
/// `fails_...` beside it says what is not so, and must be refuted: the proof is not one about nothing.
abstract contract Proof {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    SymbolicVm internal constant svm = SymbolicVm(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

    // Four accounts, none of them another one.
    address internal constant BUYER = address(0xb0);
    address internal constant PROVIDER = address(0xa0);
    address internal constant ARBITER = address(0xab);
    address internal constant FEE_ACCOUNT = address(0xfee);

    uint256 internal constant END_OF_TIME = 2 ** 39; // the year 19391
    uint40 internal constant NO_DEADLINE = type(uint40).max;

    uint256 internal constant ACCOUNTS_AT = 3; // the escrow's storage (docs/storage.md)
    uint256 internal constant DEALS_AT = 6;
    uint256 internal constant POLICIES_AT = 7;

    IMoltEscrow internal escrow;

    function setUp() public virtual {
        escrow = deploy();
        svm.enableSymbolicStorage(address(escrow));
    }

    /// @dev From forge's artefact of the sources as they are deployed.
    function deploy() internal returns (IMoltEscrow) {
        bytes memory arguments = abi.encode(
            new DecimalsOnly(), FEE_ACCOUNT, address(1), address(2), uint16(30), uint40(10 minutes), uint40(10 minutes)
        );
        bytes memory code = bytes.concat(vm.getCode(".forge/proofs/out/MoltEscrow.sol/MoltEscrow.json"), arguments);
        address deployed;
        assembly {
            deployed := create(0, add(code, 32), mload(code))
        }
        require(deployed != address(0));
        return IMoltEscrow(deployed);
    }

    // ---------------------------------------------------------------- and, or, and numbers, without a branch

    function both(bool a, bool b) internal pure returns (bool c) {
        assembly {
            c := and(a, b)
        }
    }

    function either(bool a, bool b) internal pure returns (bool c) {
        assembly {
            c := or(a, b)
        }
    }

    function oneIf(bool a) internal pure returns (uint256 n) {
        assembly {
            n := a
        }
    }

    function oneOf(bool a, uint256 ifSo, uint256 ifNot) internal pure returns (uint256 n) {
        assembly {
            n := or(and(ifSo, sub(0, a)), and(ifNot, sub(a, 1)))
        }
    }
}
