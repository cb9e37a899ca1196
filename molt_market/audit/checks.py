"""The rebuilt books against what the contract says at the same block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field

from molt_market.audit.books import Books
from molt_market.audit.contract import Contract
from molt_market.domain.ids import Address
from molt_market.signing.hashes import deal_id, policy_id, policy_message


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is otherwise on the chain than the log says."""

    what: str
    name: str
    log: str
    chain: str

    def __str__(self) -> str:
        return f"{self.what}: {self.name}: the log says {self.log}, the chain {self.chain}"


@dataclass
class Check:
    """One kind of thing: how many were compared, and which differ."""

    what: str
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)

    def compare(self, name: str, rebuilt: object, found: object) -> None:
        self.compared += 1
        if rebuilt != found:
            self.differences.append(Difference(self.what, name, str(rebuilt), str(found)))


def all_checks(contract: Contract, books: Books, donated: int, block: int) -> Iterator[Check]:
    """Make every check, at one block."""
    yield _accounts(contract, books, block)
    yield _deals(contract, books, block)
    yield _ids(contract, books)
    yield _policies(contract, books, block)
    yield _pools(contract, books, block)
    yield _groups(contract, books, block)
    yield _approvals(contract, books, block)
    yield _roles(contract, books, block)
    yield _tokens(contract, books, donated, block)


def _accounts(contract: Contract, books: Books, block: int) -> Check:
    check = Check("accounts")
    found = contract.views("accountOf", [(address,) for address in books.accounts], block=block)
    for (address, account), words in zip(books.accounts.items(), found, strict=True):
        check.compare(address, astuple(account), words)
    return check


def _deals(contract: Contract, books: Books, block: int) -> Check:
    check = Check("deals")
    found = contract.views("dealOf", [(id_,) for id_ in books.deals], block=block)
    for (id_, known), words in zip(books.deals.items(), found, strict=True):
        check.compare(id_, astuple(known.deal), words)
        if not known.is_live:
            check.compare(f"{id_}, which is closed, holds", known.held, 0)
    return check


def _ids(contract: Contract, books: Books) -> Check:
    """Hash terms and policies anew: then they are the very ones that were signed."""
    check = Check("ids of deals and policies")
    for id_, known in books.deals.items():
        check.compare("a deal", deal_id(known.terms, contract.domain), id_)
    for policy, known_policy in books.policies.items():
        check.compare("a policy", policy_id(known_policy), policy)
    return check


def _policies(contract: Contract, books: Books, block: int) -> Check:
    check = Check("policies")
    for id_, policy in books.policies.items():
        check.compare(
            id_,
            _plain(policy_message(policy).as_tuple()),
            _plain(contract.view("policyOf", id_, block=block)),
        )
    return check


def _pools(contract: Contract, books: Books, block: int) -> Check:
    check = Check("GPUs in use")
    pools = books.gpus_in_use()
    found = contract.views("gpusInUse", list(pools), block=block)
    for ((provider, slot), gpus), words in zip(pools.items(), found, strict=True):
        check.compare(f"{provider}:{slot}", (gpus,), words)
    return check


def _groups(contract: Contract, books: Books, block: int) -> Check:
    check = Check("cancelled groups")
    for (maker, side, group), cutoffs in books.cutoffs.items():
        _, *found = contract.view("groupOf", maker, side, group, block=block)
        check.compare(f"{maker}:{side}:{group}", cutoffs, tuple(found))
    return check


def _approvals(contract: Contract, books: Books, block: int) -> Check:
    check = Check("approvals")
    for (account, digest), until in books.approvals.items():
        found = contract.view("approvedUntil", account, digest, block=block)
        check.compare(f"{account}:{digest}", (until,), found)
    return check


def _roles(contract: Contract, books: Books, block: int) -> Check:
    """Compare what has changed: the deployment itself logs neither the holders nor the fee."""
    check = Check("roles, pause and fee")
    for role, holders in books.roles.items():
        check.compare(
            f"role {role}",
            holders,
            tuple(Address(str(each)) for each in contract.view("roleOf", role, block=block)),
        )
    _, *fee, paused_until = contract.view("config", block=block)
    check.compare("pause", books.paused_until, paused_until)
    if books.announced_fee is not None:
        check.compare("fee", books.announced_fee, tuple(fee))
    return check


def _tokens(contract: Contract, books: Books, donated: int, block: int) -> Check:
    check = Check("tokens in the contract")
    expected = books.total_balance() + books.total_held() + donated
    check.compare("balances, live deals and gifts", expected, contract.tokens(block))
    return check


def _plain(values: tuple[object, ...]) -> tuple[object, ...]:
    """Write addresses and hashes in one way."""
    return tuple(value.lower() if isinstance(value, str) else value for value in values)
