"""`molt wallet`: key files, what an account has, and money in and out of the escrow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from molt_market.chain.client import MoltClient
from molt_market.chain.faucet import fund as take_from_faucet
from molt_market.cli.console import Output, iso
from molt_market.cli.context import AppContext
from molt_market.cli.keys import new_password, private_key, require_free
from molt_market.cli.options import AsJson
from molt_market.domain.amounts import Amount
from molt_market.domain.balances import Balances
from molt_market.domain.ids import Address
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import EscrowError, InvalidValue, NotYet, counted, utc
from molt_market.payments.explanation import held_of
from molt_market.signing.wallet import Wallet

MICRO = 10**12  # wei in a millionth of native coin
FUNDED = "1000"  # whole tokens

File = Annotated[
    Path | None, typer.Argument(help="Where the key file is made; default: --wallet.", metavar="FILE")
]

app = typer.Typer(no_args_is_help=True, help="Make a key file, see what its account has, move its money.")


# ---------------------------------------------------------------- key files


@app.command()
def new(context: typer.Context, file: File = None, *, as_json: AsJson = False) -> None:
    """Make a new key, and keep it encrypted in a file that only you can read.

    The password is asked for twice, or comes from MOLT_WALLET_PASSWORD. A file that is there is not touched.
    """
    path = _place(context, file)
    password = new_password(path)
    _tell_key(context, path, Wallet.create(path, password).address, as_json=as_json)


@app.command("import")
def import_(context: typer.Context, file: File = None, *, as_json: AsJson = False) -> None:
    """Keep a private key that you have in an encrypted file.

    The key is the first line of what is piped in, or typed at a prompt that does not show it; it is never an
    argument, which others could see. All else as `new`.
    """
    path = _place(context, file)
    wallet = Wallet.from_private_key(private_key())
    wallet.save(path, new_password(path))
    _tell_key(context, path, wallet.address, as_json=as_json)


def _place(context: typer.Context, file: Path | None) -> Path:
    shared: AppContext = context.obj
    path = file or shared.wallet
    if path is None:
        raise InvalidValue("no path for the key file: give one, for example buyer.json")
    require_free(path)
    return path


def _tell_key(context: typer.Context, path: Path, address: Address, *, as_json: bool) -> None:
    shared: AppContext = context.obj
    if shared.says_json(as_json=as_json):
        shared.output.json({"address": address, "file": str(path)})
        return
    shared.output.line(address, "bold")
    shared.output.line(f"The key is in {path}, encrypted. Keep file and password: there is no other copy.")


# ---------------------------------------------------------------- what there is


@dataclass(frozen=True, slots=True)
class Possessions:
    """All that an account has. `coin` is native coin in wei, `locked` what live deals hold of it."""

    account: Address
    coin: int
    balances: Balances
    locked_as_buyer: Amount
    locked_as_provider: Amount
    deals_as_buyer: int
    deals_as_provider: int


@app.command()
def balance(
    context: typer.Context,
    account: Annotated[
        str | None, typer.Argument(help="Whose; default: that of --wallet.", metavar="ADDRESS")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what an account has: for gas, in its wallet, free in the escrow, and locked in live deals."""
    shared: AppContext = context.obj
    whose = Address(account) if account else shared.account_of_wallet()
    found = possessions(shared.client(), whose)
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(found))
    else:
        _print(shared.output, found)


def possessions(client: MoltClient, account: Address) -> Possessions:
    """Ask the chain what an account has."""
    zero = Amount.zero(client.token)
    bought, sold, as_buyer, as_provider = zero, zero, 0, 0
    for escrow, events in client.deals(client.live_deals(account)).values():
        held = held_of(escrow, events)
        if escrow.buyer == account:
            bought, as_buyer = bought + held.of_buyer, as_buyer + 1
        else:
            sold, as_provider = sold + held.of_provider, as_provider + 1
    coin = client.node.number("eth_getBalance", account, "latest")
    return Possessions(account, coin, client.balances(account), bought, sold, as_buyer, as_provider)


# ---------------------------------------------------------------- money in and out

AMOUNT = "In whole tokens, for example 1.5."


@app.command()
def fund(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help=AMOUNT, metavar="AMOUNT")] = FUNDED,
    *,
    as_json: AsJson = False,
) -> None:
    """Take tokens from the faucet of a local or test network; on a local Anvil coin for gas too."""
    sender = Sender.of(context, as_json=as_json)
    given = sender.client.token.amount(amount)
    sender.tell(f"minted {given}", take_from_faucet(sender.client, given))


@app.command()
def deposit(
    context: typer.Context,
    amount: Annotated[str, typer.Argument(help=AMOUNT, metavar="AMOUNT")],
    *,
    as_json: AsJson = False,
) -> None:
    """Move tokens into the escrow, where deals are paid from, and bonds."""
    sender = Sender.of(context, as_json=as_json)
    given = sender.client.token.amount(amount)
    sender.tell(f"deposited {given}", sender.client.deposit(given))


@app.command()
def withdraw(
    context: typer.Context,
    amount: Annotated[
        str | None,
        typer.Argument(help=f"What to mark; 0 takes the mark back. {AMOUNT}", metavar="AMOUNT"),
    ] = None,
    *,
    to: Annotated[str | None, typer.Option(help="Who is paid; default: your account.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take free tokens out of the escrow, in two steps.

    With AMOUNT it is marked, and the time told from when on it can be paid out; without AMOUNT what is marked
    is paid out. In between deals may still spend it.
    """
    if amount is not None and to is not None:
        raise InvalidValue("who is paid is said at the second step: give --to without an amount then")
    receiver = Address(to) if to else None
    sender = Sender.of(context, as_json=as_json)
    if amount is None:
        _pay_out(sender, receiver)
    else:
        _mark(sender, sender.client.token.amount(amount))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who moves money, and how he is told what came of it."""

    shared: AppContext
    client: MoltClient
    address: Address
    as_json: bool

    @classmethod
    def of(cls, context: typer.Context, *, as_json: bool) -> Sender:
        """Open the key file."""
        shared: AppContext = context.obj
        wallet = Wallet.from_file(shared.key_file())
        return cls(shared, shared.client(wallet), wallet.address, as_json)

    def tell(self, says: str, receipt: TransactionReceipt | None) -> None:
        """Say what was done, and what the account has now."""
        found = possessions(self.client, self.address)
        sent, out = receipt.transaction_id if receipt else None, self.shared.output
        if self.shared.says_json(as_json=self.as_json):
            out.json({"says": says, "transaction": sent} | _machine(found))
            return
        out.line(says, "bold")
        if sent is not None:
            out.line(f"transaction {sent}")
        out.line()
        _print(out, found)


def _mark(sender: Sender, amount: Amount) -> None:
    """Mark an amount. The same again sends nothing: a new mark would start the delay anew."""
    client, receipt = sender.client, None
    if client.balances(sender.address).withdrawing != amount:
        receipt = client.request_withdraw(amount)
    unlock_at = client.balances(sender.address).unlock_at
    says = "nothing is marked to be withdrawn"
    if unlock_at is not None:
        says = f"marked {amount}: `molt wallet withdraw` pays it out from {utc(unlock_at)} on"
    sender.tell(says, receipt)


def _pay_out(sender: Sender, to: Address | None) -> None:
    marked = sender.client.balances(sender.address)
    if marked.unlock_at is None:
        raise EscrowError("nothing is marked: say how much is to be withdrawn, molt wallet withdraw AMOUNT")
    if sender.client.now() < marked.unlock_at:
        raise NotYet("the withdrawal", marked.unlock_at)
    receipt = sender.client.withdraw(to)
    sender.tell(f"paid {min(marked.withdrawing, marked.escrow)} to {to or sender.address}", receipt)


# ---------------------------------------------------------------- for people, and for programs


def _print(out: Output, found: Possessions) -> None:
    balances = found.balances
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row("for gas", coins(found.coin), "")
    table.add_row("wallet", str(balances.wallet), "")
    table.add_row("escrow", str(balances.escrow), "free for deals and bonds")
    if balances.unlock_at is not None:
        marked = f"of that, can be withdrawn from {utc(balances.unlock_at)} on"
        table.add_row("marked", str(balances.withdrawing), marked)
    table.add_row("as buyer", str(found.locked_as_buyer), _deals(found.deals_as_buyer))
    table.add_row("as provider", str(found.locked_as_provider), _deals(found.deals_as_provider))
    out.line(f"account {found.account}", "bold")
    out.show(table)


def coins(wei: int) -> str:
    """Write native coin with six decimals, rounded down.

    >>> coins(1_500_000_000_000_000_001)
    '1.500000 of native coin'
    """
    whole, micro = divmod(wei // MICRO, 10**6)
    return f"{whole}.{micro:06d} of native coin"


def _deals(number: int) -> str:
    return f"locked in {counted(number, 'live deal')}"


def _machine(found: Possessions) -> dict[str, Any]:
    balances = found.balances
    return {
        "account": found.account,
        "coin_wei": str(found.coin),
        "token": {"symbol": balances.wallet.token.symbol, "decimals": balances.wallet.token.decimals},
        "wallet": str(balances.wallet.base_units),
        "escrow": str(balances.escrow.base_units),
        "marked": str(balances.withdrawing.base_units),
        "unlock_at": iso(balances.unlock_at),
        "locked_as_buyer": str(found.locked_as_buyer.base_units),
        "locked_as_provider": str(found.locked_as_provider.base_units),
        "deals_as_buyer": found.deals_as_buyer,
        "deals_as_provider": found.deals_as_provider,
    }
