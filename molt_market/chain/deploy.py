"""Deploying the packaged contracts, in steps that a later run can go on with."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from eth_utils import keccak
from pydantic import ValidationError

from molt_market.chain.deployments import DeployedContract, Deployment, hash_of, load_deployment
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import (
    FACTORY,
    FACTORY_CODE,
    QUARTER_HOUR,
    Creation,
    DeploymentSpec,
    Plan,
    TokenSpec,
    plan_deployment,
)
from molt_market.chain.token import TokenContract, require_suitable
from molt_market.chain.transactions import Transactions
from molt_market.domain.amounts import Token
from molt_market.domain.fields import Value
from molt_market.domain.ids import ZERO_ADDRESS, Address, Hash32, TransactionId
from molt_market.domain.transactions import Call, Fee, SignedTransaction, TransactionReceipt
from molt_market.errors import (
    DeploymentMismatch,
    DeploymentNotFound,
    InvalidValue,
    MarketError,
    OtherDeployment,
)
from molt_market.signing.wallet import TransactionSigner


def deploy(
    network: Network,
    wallet: TransactionSigner,
    *,
    rpc_url: str | None = None,
    token: Address | TokenSpec | None = None,
    token_holder: Address | None = None,
    fee_recipient: Address | None = None,
    guardian: Address | None = None,
    fee_setter: Address | None = None,
    fee_bps: int = 0,
    withdraw_delay_seconds: int = QUARTER_HOUR,
    cancel_delay_seconds: int = QUARTER_HOUR,
) -> Deployment:
    """Deploy a MoltEscrow, and a token unless one is given; return what to record with `Deployment.save`.

    Args:
        wallet: pays for it, and has no right over it afterwards but the roles that it keeps.
        token: an ERC-20 that is there, or the token to make (default: MOLT).
        token_holder: has some of the token that is there: a transfer of his is simulated, none is sent
            (default: the wallet, or who received some of late).
        fee_recipient: gets the platform's fee for ever (default: the wallet).
        guardian: may pause openings for 72 hours (default: the wallet; ZERO_ADDRESS: nobody, for ever).
        fee_setter: may announce another fee, 7 days ahead (defaults and ZERO_ADDRESS: as for the guardian).
        fee_bps: the fee on what providers are paid, in basis points.

    Raises:
        DeploymentOutOfRange: a value breaks a bound of the contract.
        UnsuitableToken: the token is none to settle in.
        InvalidValue: a token for tests on the main network, nobody known who has the token, no node.
        NodeUnreachable, WrongChain, InsufficientGas: nothing was deployed.
    """
    spec = DeploymentSpec(
        token=token or TokenSpec(),
        fee_recipient=fee_recipient or wallet.address,
        guardian=guardian or wallet.address,
        fee_setter=fee_setter or wallet.address,
        fee_bps=fee_bps,
        withdraw_delay_seconds=withdraw_delay_seconds,
        cancel_delay_seconds=cancel_delay_seconds,
    )
    deployer = Deployer(network, wallet, spec, rpc_url=rpc_url)
    deployer.check(() if token_holder is None else (token_holder,))
    return deployer.run()


def has_factory(node: Node) -> bool:
    """Tell whether the factory of deterministic addresses is on a chain."""
    return node.code(FACTORY) == FACTORY_CODE


class Sent(Value):
    """One creation that was signed, and so may be on its way; to send it again does no harm."""

    contract: str
    address: Address
    transaction_id: TransactionId
    nonce: int
    gas: int
    fee_most: int
    fee_tip: int
    raw: str


class Journal(Value):
    """What a deployment has signed so far, and which deployment it is: chain, account, values."""

    chain: str
    of: Hash32
    sent: tuple[Sent, ...] = ()


class State(Enum):
    """How far a creation is."""

    THERE = "there already"
    SENT = "sent by an earlier run"
    TO_DO = "to be created"


@dataclass(frozen=True, slots=True)
class Step:
    """A creation, how far it is, and the gas that it would take."""

    creation: Creation
    state: State
    gas: int


class Deployer:
    """Carries out one deployment. Killed at any moment, the next run goes on and creates nothing twice.

    Args:
        wallet: pays. rpc_url: as `Network.node_address` takes it.
        salt: has the factory create the contracts, at addresses that it fixes; None: the account does.
        journal: a file that is written before each transaction is sent; None: none is, and a run that is
            killed cannot be gone on with unless there is a salt.

    Raises:
        InvalidValue: a token for tests on the main network, a salt where no factory is, or no node to ask.
        NodeUnreachable, WrongChain: there is no node of that chain.
        OtherDeployment: the journal is of a deployment with other values, or of another chain.
    """

    def __init__(
        self,
        network: Network,
        wallet: TransactionSigner,
        spec: DeploymentSpec,
        *,
        rpc_url: str | None = None,
        salt: Hash32 | None = None,
        journal: Path | None = None,
    ) -> None:
        if network.chain_id == Network.MAINNET.chain_id and isinstance(spec.token, TokenSpec):
            raise InvalidValue(
                "anyone may mint a MoltToken, it is worth nothing: give the token to settle in"
            )
        self.node = Node(network.node_address(rpc_url))
        self.node.require_chain(network.chain_id)
        if salt is not None and not has_factory(self.node):
            raise InvalidValue(f"no factory is at {FACTORY} on chain {network.chain_id}: leave the salt out")
        self.transactions = Transactions(self.node, network.chain_id, confirmations=network.confirmations)
        self._chain_id = network.chain_id
        self._wallet = wallet
        self._spec = spec
        self._salt = salt
        self._path = journal
        self._journal = self._read_journal()

    def plan(self) -> Plan:
        """Return what is created where; without a salt, if the account sends nothing else meanwhile."""
        sender = self._wallet.address
        alive = {each.contract: each for each in self._journal.sent if self._may_be_mined(each)}
        after_sent = max((each.nonce + 1 for each in alive.values()), default=0)
        return plan_deployment(
            self._spec,
            chain_id=self._chain_id,
            sender=sender,
            nonce=max(self.transactions.next_nonce(sender), after_sent),
            salt=self._salt,
            placed={name: (each.address, each.nonce) for name, each in alive.items()},
        )

    def check(self, holders: Collection[Address] = ()) -> None:
        """Look whether it can be carried out, without sending anything; `holders`: see `require_suitable`.

        Raises:
            DeploymentOutOfRange, InvalidValue: a value is wrong; UnsuitableToken: so is the token.
            DeploymentMismatch: other code is where a contract is to be.
        """
        plan = self.plan()
        if isinstance(self._spec.token, str):
            some = (*holders, plan.sender)
            require_suitable(self.node, self._chain_id, plan.token, to=plan.escrow.address, holders=some)
        for creation in plan.creations:
            if not self._is_there(creation):
                self._simulate(creation, plan.find("MoltToken"))

    def steps(self) -> tuple[Step, ...]:
        """Say how far each creation is, and what gas it would take."""
        plan = self.plan()
        return tuple(self._step(creation, plan) for creation in plan.creations)

    def run(self) -> Deployment:
        """Create what is not there yet, wait for the confirmations, and return what to record.

        Raises:
            InsufficientGas, TransactionPending, TransactionDropped, TransactionRejected: as they say; the
                next run goes on from there.
            DeploymentMismatch: the code at an address is not what was created.
        """
        done: dict[str, tuple[Creation, TransactionReceipt | None]] = {}
        while left := [each for each in self.plan().creations if each.contract not in done]:
            creation = left[0]
            receipt = self._create(creation)
            if not self._is_there(creation):
                raise DeploymentMismatch(
                    f"no code is at {creation.address} after it was created: ask another node"
                )
            done[creation.contract] = creation, receipt
        return self._deployment(done)

    def finish(self) -> None:
        """Remove the journal: the deployment is recorded."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def require_no_other(self, folder: Path | None = None) -> None:
        """Raise OtherDeployment if the file of this chain names another escrow that is on the chain."""
        try:
            recorded = load_deployment(self._chain_id, folder)
        except DeploymentNotFound:
            return
        if recorded.escrow != self.plan().escrow.address and self.node.code(recorded.escrow):
            raise OtherDeployment(
                f"the escrow {recorded.escrow} is recorded for chain {self._chain_id} already: move its file"
                " away, or allow it to be replaced"
            )

    # ---------------------------------------------------------------- one creation

    def _step(self, creation: Creation, plan: Plan) -> Step:
        if self._is_there(creation):
            return Step(creation, State.THERE, 0)
        if any(each.address == creation.address for each in self._journal.sent):
            return Step(creation, State.SENT, 0)
        token = plan.find("MoltToken")
        overrides = {}
        if creation is plan.escrow and token is not None:  # the escrow's constructor asks the token
            sender = {"nonce": hex(creation.nonce)}
            overrides = {plan.sender: sender, token.address: {"code": "0x" + token.code.hex()}}
        gas = self.node.estimate_gas(creation.call, plan.sender, overrides=overrides)
        return Step(creation, State.TO_DO, gas)

    def _create(self, creation: Creation) -> TransactionReceipt | None:
        sent = next((each for each in self._journal.sent if each.address == creation.address), None)
        if sent is None and self._is_there(creation):
            return None
        with self.transactions.alone(self._wallet.address):
            signed = self._sign(creation) if sent is None else _signed(sent, creation, self._wallet.address)
            self.transactions.broadcast(signed)
        return self.transactions.require_success(signed, self.transactions.wait(signed))

    def _sign(self, creation: Creation) -> SignedTransaction:
        sender = self._wallet.address
        self._simulate(creation)
        fee = self.transactions.market_fee().with_room()
        gas = self.transactions.gas(creation.call, sender)
        self.transactions.require_gas_money(sender, gas, fee)
        nonce = creation.nonce if creation.salt is None else self.transactions.next_nonce(sender)
        signed = self.transactions.sign(creation.call, self._wallet, nonce=nonce, gas=gas, fee=fee)
        self._remember(creation, signed)
        return signed

    def _simulate(self, creation: Creation, token: Creation | None = None) -> None:
        """Have a refusal of the constructor told in its own words, which the factory swallows.

        The escrow asks a `token` that may not be there yet. No constructor looks at who calls it: nobody does
        here, since what the deployer himself would create next may lie at that token's address.
        """
        codes = {token.address: token.code} if token is not None and token != creation else None
        self.node.call(Call(None, creation.init_code), sender=ZERO_ADDRESS, block="pending", codes=codes)

    def _is_there(self, creation: Creation) -> bool:
        code = self.node.code(creation.address)
        if code and code != creation.code:
            raise DeploymentMismatch(
                f"other code is at {creation.address}, where {creation.contract} is to be: nothing is sent;"
                " take another salt, or ask another node"
            )
        return bool(code)

    def _may_be_mined(self, sent: Sent) -> bool:
        """Tell whether a transaction was mined well, or still can be."""
        receipt = self.transactions.receipt(sent.transaction_id)
        if receipt is not None:
            return receipt.succeeded
        return self.transactions.used_nonces(self._wallet.address) <= sent.nonce

    # ---------------------------------------------------------------- the journal

    def _read_journal(self) -> Journal:
        chain, sender = self.node.chain_name(), self._wallet.address
        fresh = Journal(chain=chain, of=Hash32.of(keccak(text=f"{sender} {self._spec!r} {self._salt}")))
        if self._path is None or not self._path.exists():
            return fresh
        try:
            found = Journal.model_validate_json(self._path.read_text("utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise OtherDeployment(f"{self._path} is no journal of a deployment: look what it is") from error
        if (found.chain, found.of) != (fresh.chain, fresh.of):
            raise OtherDeployment(
                f"{self._path} is of a deployment that is half done, with other values or on another chain:"
                " run that one again with its own values, or move the file away to begin anew"
            )
        return found.model_copy(update={"sent": tuple(filter(self._may_be_mined, found.sent))})

    def _remember(self, creation: Creation, signed: SignedTransaction) -> None:
        entry = Sent(
            contract=creation.contract,
            address=creation.address,
            transaction_id=signed.id,
            nonce=signed.nonce,
            gas=signed.gas,
            fee_most=signed.fee.most,
            fee_tip=signed.fee.tip,
            raw=signed.raw.hex(),
        )
        self._journal = self._journal.model_copy(update={"sent": (*self._journal.sent, entry)})
        if self._path is not None:
            _write(self._path, self._journal.model_dump_json(indent=2) + "\n")

    # ---------------------------------------------------------------- what to record

    def _deployment(self, done: dict[str, tuple[Creation, TransactionReceipt | None]]) -> Deployment:
        escrow, receipt = done["MoltEscrow"]
        panel = done.get("PanelArbiter")
        token = TokenContract(self.node, self._chain_id, escrow.values[0])
        deployment = Deployment(
            chain_id=self._chain_id,
            escrow=escrow.address,
            token=Token(token.symbol, token.decimals, token.address),
            fee_recipient=self._spec.fee_recipient,
            withdraw_delay_seconds=self._spec.withdraw_delay_seconds,
            cancel_delay_seconds=self._spec.cancel_delay_seconds,
            block=self._first_block(escrow.address) if receipt is None else receipt.block,
            code_hash=hash_of(escrow.code),
            arbiter=None if panel is None else panel[0].address,
            contracts=tuple(_recorded(creation) for creation, _ in done.values()),
        )
        deployment.require_code(self.node.code(escrow.address))
        return deployment

    def _first_block(self, address: Address) -> int:
        """Find the block in which a contract came, by its code; 0 if the node does not know the past."""
        low, high = 0, self.transactions.head()
        try:
            while low < high:
                middle = (low + high) // 2
                if self.node.request("eth_getCode", address, hex(middle)) == "0x":
                    low = middle + 1
                else:
                    high = middle
        except MarketError:
            return 0
        return low


def _signed(sent: Sent, creation: Creation, sender: Address) -> SignedTransaction:
    return SignedTransaction(
        id=sent.transaction_id,
        sender=sender,
        nonce=sent.nonce,
        call=creation.call,
        gas=sent.gas,
        fee=Fee(sent.fee_most, sent.fee_tip),
        raw=bytes.fromhex(sent.raw),
    )


def _recorded(creation: Creation) -> DeployedContract:
    return DeployedContract(
        name=creation.contract,
        address=creation.address,
        arguments=creation.arguments.hex(),
        code_hash=hash_of(creation.code),
        salt=creation.salt,
    )


def _write(path: Path, text: str) -> None:
    """Write a file whole, and on the disk before anything is sent; or leave it as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
