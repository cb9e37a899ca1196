"""Deploy token, escrow and panel with ape, and record them for clients in deployments/<chain-id>.json.

ape run deploy
ape run deploy --network ethereum:anvil:http://127.0.0.1:8545 --account TEST::0 --dry-run
ape run deploy --network ethereum:sepolia --account operator --token 0x... --fee-recipient 0x...

It says what it would do and asks before it sends. docs/deploying.md has the rest.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from ape import accounts, networks
from ape.exceptions import ApeException

from molt_market.chain.deploy import Deployer, State, Step, has_factory
from molt_market.chain.deployments import hash_of
from molt_market.chain.interface import interface
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import (
    FACTORY,
    NO_SALT,
    QUARTER_HOUR,
    Creation,
    DeploymentSpec,
    PanelSpec,
    TokenSpec,
)
from molt_market.chain.reverts import without_secrets
from molt_market.config import settings
from molt_market.domain.ids import Address, Hash32, Signature
from molt_market.errors import InsufficientGas, MoltError, WalletError
from molt_market.signing.typed_data import Message, SigningDomain
from molt_market.signing.wallet import TransactionSigner, Wallet

LOCAL = "ethereum:local:foundry"
TEST = "TEST::0"
SCHEMES = ("http://", "https://")
FEE = click.IntRange(0, 300)  # the contract's own bounds, told before anything is paid for
DELAY = click.IntRange(1, 86_400)


class ApeSigner:
    """An account of ape's as the package has its transactions signed."""

    def __init__(self, account: Any) -> None:
        self._account = account
        self.address = Address(account.address)

    def sign(self, message: Message, domain: SigningDomain) -> Signature:
        raise WalletError(f"{type(message).__name__} for {domain.name}: a deployment signs transactions only")

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        named = {
            "type": fields["type"],
            "chain_id": fields["chainId"],
            "nonce": fields["nonce"],
            "gas_limit": fields["gas"],
            "value": fields["value"],
            "data": fields["data"],
            "max_fee": fields["maxFeePerGas"],
            "max_priority_fee": fields["maxPriorityFeePerGas"],
        }
        if "to" in fields:
            named["receiver"] = fields["to"]
        signed = self._account.sign_transaction(networks.ethereum.create_transaction(**named))
        if signed is None:
            raise click.Abort
        return bytes(signed.serialize_transaction())


@click.command()
@click.option(
    "--network", "choice", default=LOCAL, show_default=True, help="Of ape-config.yaml, or an address."
)
@click.option("--chain-id", type=int, help="What the network has to be; needed where it is only an address.")
@click.option("--account", "alias", help="A key file of ape's, or TEST::0 (default: MOLT_DEPLOYER_KEY).")
@click.option("--token", help="An ERC-20 that is there already (default: a new MoltToken).")
@click.option("--token-holder", help="Has some of it: a transfer of his is simulated, none is sent.")
@click.option("--fee-recipient", help="Gets the platform's fee, for ever (default: the account).")
@click.option("--guardian", help="May pause openings for 72 hours (default: the account).")
@click.option("--fee-setter", help="May announce another fee, 7 days ahead (default: the account).")
@click.option("--fee-bps", type=FEE, default=0, show_default=True, help="Fee on what providers are paid.")
@click.option("--withdraw-delay", type=DELAY, default=QUARTER_HOUR, show_default=True, help="In seconds.")
@click.option("--cancel-delay", type=DELAY, default=QUARTER_HOUR, show_default=True, help="In seconds.")
@click.option("--panel", multiple=True, help="A member of a panel that may rule; give it for each.")
@click.option("--threshold", type=int, default=1, show_default=True, help="How many of the panel rule.")
@click.option("--salt", default=NO_SALT, help="Another one gives other addresses, where there is a factory.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("deployments"), show_default=True)
@click.option("--replace", is_flag=True, help="Replace the file of another deployment on this chain.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--yes", is_flag=True, help="Do not ask; ape takes its account's password from the environment."
)
def cli(choice: str, chain_id: int | None, alias: str | None, **options: Any) -> None:
    """Deploy MoltEscrow, MoltToken unless --token is given, and a PanelArbiter if --panel is."""
    try:
        with connected(choice, chain_id) as (network, url):
            Node(url).require_chain(network.chain_id)
            who = alias or (TEST if is_local(choice) else None)
            signer = signer_of(who, network.chain_id, unattended=options["yes"])
            run(network, url, signer, spec_of(signer.address, options), options)
    except MoltError as error:
        raise click.ClickException(str(error)) from error


def run(
    network: Network, url: str, signer: TransactionSigner, spec: DeploymentSpec, options: Mapping[str, Any]
) -> None:
    """Check, say what would be done, ask, do it, record it."""
    folder = options["folder"]
    deployer = Deployer(
        network,
        signer,
        spec,
        rpc_url=url,
        salt=Hash32(options["salt"]) if has_factory(Node(url)) else None,
        journal=None if is_local(network.name) else folder / f"{network.chain_id}.journal",
    )
    holder = options["token_holder"]
    deployer.check([Address(holder)] if holder else [])
    if not options["replace"]:
        deployer.require_no_other(folder)
    say(network, url, deployer, signer.address)
    if options["dry_run"]:
        return
    if not options["yes"]:
        click.confirm("Send it?", abort=True)
    path = deployer.run().save(folder)
    deployer.finish()
    click.echo(f"recorded in {path}")


# ---------------------------------------------------------------- what is asked for


@contextmanager
def connected(choice: str, chain_id: int | None) -> Iterator[tuple[Network, str]]:
    """Give the network that an ape choice names, and the address of its node, for the length of the block.

    Where no node is named ape would take some public one and not ask; here that is refused.
    """
    if is_local(choice):
        with networks.parse_network_choice(LOCAL) as provider:
            yield network_of(choice, provider.chain_id, chain_id), provider.uri
        return
    parts = choice.split(":", 2)
    bare = choice.startswith(SCHEMES)
    url = choice if bare else parts[2] if len(parts) == 3 and parts[2] != "node" else settings().rpc_url or ""
    expected = chain_id if bare else network_named(parts).chain_id
    if expected is None:
        raise click.UsageError("which chain is at that address? Give --chain-id, or a network by its name")
    if not url.startswith(SCHEMES):
        raise click.UsageError(
            f"no node of {choice}: add its address after another colon, or set MOLT_RPC_URL"
        )
    yield network_of("custom" if bare else ":".join(parts[:2]), expected, chain_id), url


def is_local(choice: str) -> bool:
    """Tell whether it is a chain that ape starts, and that ends with this command."""
    return choice in {LOCAL, "ethereum:local"}


def network_named(parts: list[str]) -> Any:
    """Return one of ape's networks, which ape-config.yaml adds to."""
    try:
        return networks.get_ecosystem(parts[0]).get_network(parts[1])
    except (ApeException, LookupError) as error:
        name = ":".join(parts)
        raise click.UsageError(
            f"no network {name}: write ethereum:NAME:ADDRESS, see ape-config.yaml"
        ) from error


def network_of(name: str, chain_id: int, demanded: int | None) -> Network:
    if demanded not in {None, chain_id}:
        raise click.UsageError(f"{name} is chain {chain_id}, and --chain-id says {demanded}: correct one")
    known = Network.numbered(chain_id)
    return Network(name, chain_id, confirmations=known.confirmations if known else 0)


def signer_of(alias: str | None, chain_id: int, *, unattended: bool) -> TransactionSigner:
    """Return who pays: an account of ape's, or the key in the environment."""
    key = settings().deployer_key
    if alias is None and key is not None:
        return Wallet.from_private_key(key.get_secret_value())
    if alias is None:
        raise click.UsageError("nobody pays: give --account, or set MOLT_DEPLOYER_KEY to a private key")
    if re.fullmatch(r"TEST::\d", alias):
        if Network.numbered(chain_id) not in {None, Network.LOCAL}:
            raise click.UsageError("everybody knows the keys of ape's test accounts: name one of your own")
        return ApeSigner(accounts.test_accounts[int(alias[-1])])
    if alias not in accounts.aliases:
        raise click.UsageError(f"ape has no account {alias}: import it with `ape accounts import {alias}`")
    account = accounts.load(alias)
    if unattended:
        account.set_autosign(True)
    return ApeSigner(account)


def spec_of(account: Address, options: Mapping[str, Any]) -> DeploymentSpec:
    panel = options["panel"]
    return DeploymentSpec(
        token=Address(options["token"]) if options["token"] else TokenSpec(),
        fee_recipient=Address(options["fee_recipient"] or account),
        guardian=Address(options["guardian"] or account),
        fee_setter=Address(options["fee_setter"] or account),
        fee_bps=options["fee_bps"],
        withdraw_delay_seconds=options["withdraw_delay"],
        cancel_delay_seconds=options["cancel_delay"],
        panel=PanelSpec(tuple(map(Address, panel)), options["threshold"]) if panel else None,
    )


# ---------------------------------------------------------------- what is said


def say(network: Network, url: str, deployer: Deployer, account: Address) -> None:
    """Print what would be created, where, with which arguments, and what it costs."""
    steps = deployer.steps()
    balance = deployer.node.number("eth_getBalance", account, "latest")
    salt = steps[0].creation.salt
    by_account = "by the account, its next transactions say where: there is no factory on this chain"
    by_factory = f"by the factory {FACTORY} with salt {salt}"
    click.echo(f"chain    {network.chain_id}, {network.name}, node {without_secrets(url)}")
    click.echo(f"account  {account}, has {shifted(balance, 18)} ETH")
    click.echo(f"creation {by_account if salt is None else by_factory}")
    for step in steps:
        say_step(step)
    gas = sum(step.gas for step in steps)
    fee = deployer.transactions.market_fee()
    price = fee.most + fee.tip
    most = gas * 6 // 5 * fee.with_room().most  # the room that is given for gas and fee to rise
    told = f"{gas:,} gas at {shifted(price, 9)} gwei are {shifted(gas * price, 18)} ETH"
    click.echo(f"\ncost     {told}, {shifted(most, 18)} at most")
    if balance < most:
        raise InsufficientGas(account, most, balance)


def say_step(step: Step) -> None:
    creation = step.creation
    gas = f", {step.gas:,} gas" if step.state is State.TO_DO else ""
    click.echo(f"\n{creation.contract} {creation.address}, {step.state.value}{gas}")
    for name, value in named_values(creation):
        click.echo(f"  {name:<14} {value}")
    click.echo(f"  {'code hash':<14} {hash_of(creation.code)}")


def named_values(creation: Creation) -> Iterator[tuple[str, str]]:
    for name, value in zip(interface(creation.contract).constructor_names, creation.values, strict=True):
        yield name.rstrip("_"), ", ".join(value) if isinstance(value, tuple) else str(value)


def shifted(number: int, decimals: int) -> str:
    """Write an amount of wei in a greater unit."""
    return f"{Decimal(number).scaleb(-decimals).normalize():f}"
