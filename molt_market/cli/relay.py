"""`molt relay`: have a server bring what was signed to the chain, and pay for it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from molt_market.cli.context import AppContext
from molt_market.cli.files import problem_of
from molt_market.cli.options import AsJson
from molt_market.domain.relays import RelayRequest
from molt_market.errors import InvalidValue
from molt_market.sdk.api import MarketApi
from molt_market.signing.relays import EitherPartys, sign_relay_request
from molt_market.signing.statements import SignedPermit
from molt_market.signing.wallet import Wallet
from molt_market.wire.relays import FIELDS, Permit, Relay

ASKED = timedelta(minutes=10)  # how long the request counts that the wallet signs
KINDS: dict[str, Any] = {name: Permit if kind is SignedPermit else kind for kind, name in FIELDS.items()}


def relay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File of what was signed, as JSON.", metavar="FILE")],
    *,
    server: Annotated[str, typer.Option(help="Address of the market's server, http://host:port.")],
    kind: Annotated[
        str | None, typer.Option(help="What it is, where its fields do not tell: stop, ruling, ...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a server bring a signed message to the chain, at its expense.

    A voucher or a split is charged to the gas budget of the account of --wallet, which signs for that; all
    else to who signed it. To post the same again is harmless.
    """
    shared: AppContext = context.obj
    posted = _posted(shared, _read(file), file, kind)
    with MarketApi(server) as api:
        done = api.relay(posted.message, posted.asked)
    if shared.says_json(as_json=as_json):
        shared.output.json({"transaction_id": done})
    else:
        shared.output.line(f"brought by transaction {done}", "green")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidValue(f"{file} cannot be read ({error.strerror}): correct the path") from error
    except ValueError as error:
        raise InvalidValue(f"{file} is no JSON: give a file of what was signed") from error
    if not isinstance(found, dict):
        raise InvalidValue(f"{file} holds no signed message: give a file of what was signed")
    return found


def _posted(shared: AppContext, found: dict[str, Any], file: Path, kind: str | None) -> Relay:
    """Make what is posted out of a message, or out of one under the name of its kind."""
    name = next((each for each in KINDS if each in found), None)
    asked = None
    if name is not None and found.keys() <= {name, "asked"}:
        asked = _value(RelayRequest, found["asked"], file) if found.get("asked") else None
        message = _value(KINDS[name], found[name], file)
    else:
        message = _value(KINDS[_kind_of(found, file, kind)], found, file)
    message = message.signed if isinstance(message, Permit) else message
    if asked is None and isinstance(message, EitherPartys):
        asked = _charged_to_wallet(shared, message)
    return Relay.of(message, asked)


def _kind_of(found: dict[str, Any], file: Path, kind: str | None) -> str:
    """Return the kind that is given, or the only one whose fields these are."""
    if kind is not None:
        if kind not in KINDS:
            raise InvalidValue(f"--kind {kind}: give one of {', '.join(KINDS)}")
        return kind
    fitting = [name for name, each in KINDS.items() if _fits(each, found)]
    if not fitting:
        raise InvalidValue(f"{file} holds nothing that is relayed: give one of {', '.join(KINDS)}")
    if len(fitting) > 1:
        raise InvalidValue(f"{file} may be of several kinds: say which by --kind {' or '.join(fitting)}")
    return fitting[0]


def _fits(kind: Any, found: dict[str, Any]) -> bool:
    try:
        kind.model_validate(found)
    except ValidationError:
        return False
    return True


def _value(kind: Any, found: Any, file: Path) -> Any:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise InvalidValue(f"{file} is no {kind.__name__}: {problem_of(error)}") from error


def _charged_to_wallet(shared: AppContext, message: EitherPartys) -> RelayRequest:
    path, client = shared.key_file(), shared.client()
    wallet = Wallet.from_file(path)
    return sign_relay_request(message, wallet, client.domain, until=client.now() + ASKED)
