"""What is printed: plain text, and one line of JSON for each deal that somebody has to finish."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from molt_market.audit.auditor import Verdict
from molt_market.audit.books import Books
from molt_market.audit.checks import Check
from molt_market.audit.contract import Contract
from molt_market.chain.calls import EscrowCalls
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId
from molt_market.indexer.records import DealRecord


def say(text: str = "") -> None:
    print(text, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns of text; those that start with '>' are aligned to the right."""
    lines = [[column.removeprefix(">") for column in columns], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        say("  ".join(cells).rstrip())


def show_accounts(contract: Contract, books: Books) -> None:
    say("\nAccounts")
    rows = [
        (address, str(contract.amount(account.balance)), str(contract.amount(account.withdrawing)))
        for address, account in sorted(books.accounts.items())
    ]
    table(("account", ">balance", ">marked for withdrawal"), rows)


def show_checks(checks: Sequence[Check]) -> None:
    say("\nRebuilt from the log, compared with the contract's views")
    table(
        ("what", ">compared", ">differ"),
        [(check.what, str(check.compared), str(len(check.differences))) for check in checks],
    )
    for check in checks:
        for difference in check.differences:
            say(f"DIFFERENT {difference}")


def show_tokens(contract: Contract, verdict: Verdict) -> None:
    parts = [
        ("balances of accounts", verdict.balances),
        ("held by live deals", verdict.held),
        ("sent here without a deposit, so nobody's", verdict.gifts),
    ]
    say("\nTokens in the contract")
    table(("what", ">amount"), [(what, str(contract.amount(units))) for what, units in parts])


def show_live(contract: Contract, books: Books, now: int) -> None:
    live = books.live()
    say(f"\nLive deals: {len(live)}")
    for id_, known in live.items():
        say(f"\n{id_}  {known.deal.status.name}, holds {contract.amount(known.held)}")
        say(f"  finalize {when(known, now)}: {outcome(known)}")
        say(f"  {json.dumps(finishing(contract, id_, known))}")


def when(known: DealRecord, now: int) -> str:
    deadline = known.deal.deadline
    return "is due" if deadline <= now else f"from {clock(deadline)} on ({deadline})"


def outcome(known: DealRecord) -> str:
    """Say what `finalize` will do."""
    deal = known.deal
    if deal.status == DealStatus.CLAIMED:
        return f"pays the claim of {deal.claim} GPU-seconds"
    if deal.status == DealStatus.DISPUTED and deal.attested:
        return f"pays the claim of {deal.claim} GPU-seconds, for nobody ruled; both stakes go to the provider"
    if deal.status == DealStatus.DISPUTED:
        return f"leaves it at {deal.paid} GPU-seconds, for no quorum attested the claim and nobody ruled"
    return f"leaves it at the {deal.paid} GPU-seconds that vouchers have paid"


def finishing(contract: Contract, id_: EscrowId, known: DealRecord) -> dict[str, object]:
    """Return all that anyone needs to finalize a deal: its terms, and the call that they make."""
    calls = EscrowCalls(contract.address, contract.token_address)
    return {
        "dealId": id_,
        "status": known.deal.status.name,
        "finalizeFrom": known.deal.deadline,
        "terms": {_camel(name): value for name, value in asdict(known.terms).items()},
        "to": contract.address,
        "data": "0x" + calls.finalize(known.terms).data.hex(),
    }


def clock(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
