"""Rebuild the escrow's books from its log alone, compare them with the chain, and finish what is due.

python -m scripts.recover http://127.0.0.1:8545 0x...
python -m scripts.recover https://... 0x... --finish --account anybody.json

docs/recovery.md says more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from molt_market.audit.auditor import SPAN, Auditor, Outcome
from molt_market.audit.books import Books
from molt_market.audit.contract import Contract
from molt_market.chain.calls import EscrowCalls
from molt_market.chain.node import Node
from molt_market.chain.transactions import Transactions
from molt_market.domain.events import ItemRefused
from molt_market.domain.ids import Address
from molt_market.errors import MarketError, Refused
from molt_market.refusals import refusal
from molt_market.signing.wallet import Wallet
from scripts.recover import report
from scripts.recover.report import say

PER_BATCH = 100  # finalizes in one transaction, less than 60,000 gas each
SAME, DIFFERENT, NOT_DONE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.finish != (options.account is not None):
        _parser().error("--finish needs --account, and --account is for --finish")
    try:
        recovery = Recovery(options.rpc_url, options.escrow, options.from_block, options.blocks)
        return recovery.run(_wallet(options))
    except MarketError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return NOT_DONE


class Recovery:
    """One escrow, read up to the latest block."""

    def __init__(self, rpc_url: str, escrow: str, from_block: int | None, span: int) -> None:
        self.node = Node(rpc_url, timeout_seconds=60)
        self.contract = Contract(self.node, Address(escrow))
        latest = self.node.number("eth_blockNumber")
        start = self.contract.first_block(latest) if from_block is None else from_block
        self.auditor = Auditor(self.contract, start, span)

    @property
    def books(self) -> Books:
        return self.auditor.books

    def run(self, wallet: Wallet | None) -> int:
        """Read and check; with a wallet, finish what is due, and do so again. Then show what there is."""
        first, contract = self.auditor.next_block, self.contract
        latest = self.read()
        say(f"MoltEscrow {contract.address} on chain {contract.chain_id}, token {contract.token.symbol}")
        say(f"{self.books.entered} events in blocks {first} to {latest}")
        result = self.check(latest)
        if wallet is not None and result == SAME and self.finish(wallet):
            result = self.check(self.read())
        report.show_accounts(contract, self.books)
        report.show_live(contract, self.books, self.node.block_time())
        return result

    def read(self) -> int:
        """Enter all that was logged since the last time, and return the block it is complete to."""
        return self.auditor.read()

    def check(self, block: int) -> int:
        verdict = self.auditor.compare(block)
        report.show_checks(verdict.checks)
        report.show_tokens(self.contract, verdict)
        return SAME if verdict.outcome is Outcome.SAME else DIFFERENT

    def finish(self, wallet: Wallet) -> int:
        """Finalize what is due; return how many that was. Somebody else may do it at the same moment."""
        contract = self.contract
        calls = EscrowCalls(contract.address, contract.token_address)
        transactions = Transactions(self.node, contract.chain_id, contract.address)
        now = self.node.block_time()
        due = [(id_, known.terms) for id_, known in self.books.live().items() if known.deal.deadline <= now]
        say(f"\nDeals that are due: {len(due)}")
        for start in range(0, len(due), PER_BATCH):
            batch = due[start : start + PER_BATCH]
            call = calls.bundle([calls.finalize(terms) for _, terms in batch], skip=True)
            try:
                receipt = transactions.send(call, wallet)
            except Refused as error:  # a single call is no batch that could skip it
                say(f"not finalized: {error}")
                continue
            refused = [event for event in receipt.events if isinstance(event, ItemRefused)]
            say(f"finalized {len(batch) - len(refused)} in transaction {receipt.transaction_id}")
            for event in refused:
                reason = refusal(event.code, event.actual, event.limit)
                say(f"  but not {batch[event.index][0]}: {reason}")
        return len(due)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.recover",
        description="Rebuild the escrow's books from its log alone, and compare them with the chain.",
        epilog="Exit status: 0 all is as the log says, 1 something differs, 2 it could not be done.",
    )
    parser.add_argument("rpc_url", help="address of a node that has the log")
    parser.add_argument("escrow", help="address of the MoltEscrow")
    parser.add_argument("--from-block", type=int, help="block of the deployment (default: it is looked for)")
    parser.add_argument(
        "--blocks", type=_at_least_one, default=SPAN, help="asked for at a time (default: 2000)"
    )
    parser.add_argument("--finish", action="store_true", help="finalize all deals that are due")
    parser.add_argument("--account", type=Path, help="key file of whoever pays the gas; it needs no right")
    parser.add_argument("--password-file", type=Path, help="else MOLT_WALLET_PASSWORD, or it is asked for")
    return parser


def _wallet(options: argparse.Namespace) -> Wallet | None:
    if not options.finish:
        return None
    return Wallet.from_file(options.account, password_file=options.password_file)


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
