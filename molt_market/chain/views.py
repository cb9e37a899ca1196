"""What the chain says of accounts, roles and policies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from molt_market.chain.deployments import Deployment
from molt_market.chain.events import decode_logs
from molt_market.chain.interface import interface
from molt_market.chain.node import Node, readable
from molt_market.chain.spans import LogSpans
from molt_market.chain.token import TokenContract
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.balances import Balances
from molt_market.domain.events import Event, PolicyRegistered
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import ZERO_ADDRESS, Address, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.requests import Side
from molt_market.domain.roles import EscrowConfig, Role, RoleHolder
from molt_market.domain.transactions import Call
from molt_market.errors import NodeError, PolicyNotFound
from molt_market.signing import messages
from molt_market.signing.hashes import policy_id as id_of_policy
from molt_market.signing.typed_data import Domain

ESCROW = interface("MoltEscrow")
ORDERS_PER_GROUP = 128
ALL_OPENED = 2**ORDERS_PER_GROUP - 1

Found = TypeVar("Found", bound=Event)


class ChainClock:
    """The time that the next block would have: what the contract will compare with."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def now(self) -> datetime:
        return moment(self._node.block_time())


class EscrowViews:
    """The views of one deployment that need no deal."""

    def __init__(self, node: Node, deployment: Deployment) -> None:
        self.node = node
        self.deployment = deployment
        self.domain = Domain(deployment.chain_id, deployment.escrow)
        self.clock = ChainClock(node)
        self.token_contract = TokenContract(node, deployment.chain_id, deployment.token_address)
        self._spans = LogSpans(node, deployment.escrow)
        self._first_group: dict[Address, int] = {}  # of each buyer: the first group with an unused slot

    @property
    def token(self) -> Token:
        """The token that all amounts are in."""
        return self.deployment.money

    def now(self) -> datetime:
        """Return the chain's time."""
        return self.clock.now()

    def chain_name(self) -> str:
        """Return the chain's name in a journal: `<chain id>:<hash of its first block>`."""
        return self.node.chain_name()

    # ---------------------------------------------------------------- accounts

    def balance_of(self, account: Address) -> Amount:
        """Return an account's own tokens, those in the escrow left out."""
        return self._amount(self.token_contract.balance_of(account))

    def balances(self, account: Address, *, pending: bool = False) -> Balances:
        """Return an account's own tokens and its balance in the escrow.

        With `pending`, what is sent and not yet mined counts too, as far as the node knows it.
        """
        [found] = self.balances_of([account], pending=pending)
        return found

    def balances_of(self, accounts: Sequence[Address], *, pending: bool = False) -> list[Balances]:
        """Return the same of several accounts, in one request."""
        calls = [
            call
            for account in accounts
            for call in (
                Call(self.deployment.escrow, ESCROW.encode("accountOf", account)),
                self.token_contract.balance_call(account),
            )
        ]
        answers = self.node.read(calls, block="pending" if pending else "latest")
        return [self._balances(*each) for each in zip(answers[::2], answers[1::2], strict=True)]

    def allowance(self, owner: Address) -> int:
        """Return the base units of an account's tokens that the escrow may take, after what is sent."""
        return self.token_contract.allowance(owner, self.deployment.escrow, "pending")

    def gpus_in_use(self, provider: Address, slot: int) -> int:
        """Return how many GPUs of a provider's slot are in use by deals."""
        return int(self._view("gpusInUse", provider, slot))

    def next_order_slot(self, buyer: Address, skip: Collection[int] = ()) -> int:
        """Return the lowest slot of a buyer's that opened no deal yet and is not in `skip`."""
        return next(self.order_slots(buyer, skip))

    def order_slots(self, buyer: Address, skip: Collection[int] = ()) -> Iterator[int]:
        """Yield the slots of a buyer's that opened no deal yet and are not in `skip`, the lowest first.

        Slots go up one by one, so that 128 orders share a word of storage.
        """
        group = self._first_group.get(buyer, 0)
        while True:
            opened = self._view("groupOf", buyer, Side.ORDERS, group)[0]
            if opened == ALL_OPENED and self._first_group.get(buyer, 0) == group:
                self._first_group[buyer] = group + 1
            first = group * ORDERS_PER_GROUP
            for slot in range(first, first + ORDERS_PER_GROUP):
                if not opened >> (slot - first) & 1 and slot not in skip:
                    yield slot
            group += 1

    def nonce_of(self, account: Address) -> int:
        """Return the nonce of an account's next signed request or withdrawal."""
        return int(self._view("accountOf", account, block="pending")[3])

    def cutoff_of(self, account: Address, side: Side, group: int) -> int:
        """Return the Unix second at which the last cancel of a group takes effect; 0: there was none."""
        return int(self._view("groupOf", account, side, group, block="pending")[2])

    def is_approved(self, account: Address, digest: Hash32) -> bool:
        """Tell whether a digest counts as signed by an account now."""
        until = int(self._view("approvedUntil", account, digest, block="pending"))
        return seconds(self.now()) < until

    # ---------------------------------------------------------------- roles and fees

    def role(self, role: Role) -> RoleHolder:
        """Return who has a role."""
        holder, pending = (Address(each) for each in self._view("roleOf", role))
        return RoleHolder(*(None if each == ZERO_ADDRESS else each for each in (holder, pending)))

    def config(self) -> EscrowConfig:
        """Return what the roles have set: the fee, the next one if it is announced, and a pause."""
        fee_bps, next_fee_bps, next_fee_from, paused_until = self._view("config", block="pending")
        now = self.now()
        paused = moment(paused_until) if seconds(now) < paused_until else None
        if seconds(now) >= next_fee_from:
            return EscrowConfig(fee_bps=next_fee_bps, paused_until=paused)
        return EscrowConfig(fee_bps, next_fee_bps, moment(next_fee_from), paused)

    def fee_bps(self) -> int:
        """Return the fee of a deal that opens now, in basis points."""
        return int(self._view("feeBps", block="pending"))

    # ---------------------------------------------------------------- policies

    def has_policy(self, policy_id: Hash32) -> bool:
        """Tell whether a policy is registered."""
        return Address(self._view("policyOf", policy_id)[0]) != ZERO_ADDRESS

    def policy(self, policy_id: Hash32) -> Policy:
        """Return a registered policy, its attestors included, from the log. Raises PolicyNotFound."""
        found = self._logs(
            self.deployment.block, [ESCROW.topic("PolicyRegistered"), policy_id], PolicyRegistered
        )
        if not found:
            raise PolicyNotFound(policy_id)
        if id_of_policy(found[0].policy) != policy_id:
            raise NodeError(f"the node shows another policy for {policy_id}: do not use this node")
        return found[0].policy

    def stored_policy(self, policy_id: Hash32) -> messages.Policy:
        """Return a policy as the contract stores it: its attestors by their hash. Raises PolicyNotFound."""
        fields = list(self._view("policyOf", policy_id))
        fields[0], fields[-1] = Address(fields[0]), Hash32.of(fields[-1])
        if fields[0] == ZERO_ADDRESS:
            raise PolicyNotFound(policy_id)
        return messages.Policy(*fields)

    # ---------------------------------------------------------------- inside

    def _balances(self, account: bytes, held: bytes) -> Balances:
        [(balance, withdrawing, unlock_at, _)] = ESCROW.decode("accountOf", account)
        return Balances(
            wallet=self._amount(self.token_contract.balance(held)),
            escrow=self._amount(balance),
            withdrawing=self._amount(withdrawing),
            unlock_at=moment(unlock_at) if withdrawing else None,
        )

    def _logs(
        self, from_block: int, topics: Sequence[str | Sequence[str] | None], kind: type[Found]
    ) -> tuple[Found, ...]:
        return self._events(self._spans.logs(topics, from_block), kind)

    def _events(self, logs: Sequence[Any], kind: type[Found]) -> tuple[Found, ...]:
        with readable("eth_getLogs"):
            found = decode_logs(logs, self.deployment.escrow)
        return tuple(event for event in found if isinstance(event, kind))

    def _view(
        self,
        function: str,
        *values: object,
        block: str = "latest",
        storage: Mapping[Hash32, Hash32] | None = None,
    ) -> Any:
        """Ask a view of the escrow; a single value, or a struct's fields, come without their wrapping."""
        call = Call(self.deployment.escrow, ESCROW.encode(function, *values))
        answer = ESCROW.decode(function, self.node.call(call, block=block, storage=storage))
        return answer[0] if len(answer) == 1 else answer

    def _amount(self, base_units: int) -> Amount:
        return Amount(base_units, self.token)
