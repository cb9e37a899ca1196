"""Deploy the escrow with ape, and record it for clients in deployments/<chain-id>.json.

ape run deploy --network ethereum:anvil:http://127.0.0.1:8545 --account TEST::0
ape run deploy --network ethereum:sepolia:node --account operator --token 0x... --fee-recipient 0x...

Without --token a MoltToken is deployed too; anyone may mint it, so that is refused on the main network.
"""

from pathlib import Path
from typing import Any

import click
from ape import project
from ape.cli import ConnectedProviderCommand, account_option

from molt_market.chain.deployments import Deployment, hash_of
from molt_market.chain.networks import Network
from molt_market.domain.amounts import Token
from molt_market.domain.ids import Address

QUARTER_HOUR = 900
FEE = click.IntRange(0, 300)  # the contract's own bounds, told before anything is paid for
DELAY = click.IntRange(1, 86_400)


@click.command(cls=ConnectedProviderCommand)
@account_option()
@click.option("--token", help="An ERC-20 that is there already, of at most 18 decimals.")
@click.option("--fee-recipient", help="Gets the platform's fee, for ever (default: the account).")
@click.option("--guardian", help="May pause openings for 72 hours (default: the account).")
@click.option("--fee-setter", help="May announce another fee, 7 days ahead (default: the account).")
@click.option("--fee-bps", type=FEE, default=0, show_default=True, help="Fee on what providers are paid.")
@click.option("--withdraw-delay", type=DELAY, default=QUARTER_HOUR, show_default=True, help="In seconds.")
@click.option("--cancel-delay", type=DELAY, default=QUARTER_HOUR, show_default=True, help="In seconds.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("deployments"), show_default=True)
def cli(  # noqa: PLR0917 - one parameter per option
    provider: Any,
    account: Any,
    token: str | None,
    fee_recipient: str | None,
    guardian: str | None,
    fee_setter: str | None,
    fee_bps: int,
    withdraw_delay: int,
    cancel_delay: int,
    folder: Path,
) -> None:
    """Deploy MoltEscrow, and MoltToken unless --token is given."""
    if token is None and provider.chain_id == Network.MAINNET.chain_id:
        raise click.UsageError("a MoltToken is worth nothing, anyone may mint it: give --token")
    if token is not None and not provider.get_code(token):
        raise click.UsageError(f"there is no contract at {token}: correct --token, or leave it out")
    block = provider.get_block("latest").number  # logs start after it
    money = project.MoltToken.at(token) if token else account.deploy(project.MoltToken, "MOLT", "MOLT", 18)
    receiver = fee_recipient or account.address
    roles = (receiver, guardian or account.address, fee_setter or account.address)
    escrow = account.deploy(project.MoltEscrow, money.address, *roles, fee_bps, withdraw_delay, cancel_delay)
    code = bytes(provider.get_code(escrow.address))
    deployment = Deployment(
        chain_id=provider.chain_id,
        escrow=Address(escrow.address),
        token=Token(str(money.symbol()), int(money.decimals()), Address(money.address)),
        fee_recipient=Address(receiver),
        withdraw_delay_seconds=withdraw_delay,
        cancel_delay_seconds=cancel_delay,
        block=block,
        code_hash=hash_of(code),
    )
    deployment.require_code(code)  # what ape compiled is what the package knows
    click.echo(f"recorded in {deployment.save(folder)}")
