"""The escrow that the traces begin with: balances, allowances and four policies, all compared already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.contracts.machine import moves
from tests.contracts.machine.model import (
    DAY,
    FEE_SETTER,
    GUARDIAN,
    HOUR,
    UNLIMITED,
    Config,
    Model,
    Setting,
    State,
)
from tests.contracts.machine.moves import CAST, RELAYER, UNIT
from tests.contracts.machine.stage import Chain, Stage
from tests.contracts.machine.wire import ZERO, Call, Domain, Policy, attestors_hash
from tests.contracts.node import Node

FEE_BPS, WITHDRAW_DELAY, CANCEL_DELAY = 100, 900, 600

POLICIES = [
    # arbiter, bond, challenge, grace, notice, threshold, arbitration, share, attestors
    (moves.ARBITER, 0, HOUR, HOUR, 1, 0, DAY, 0, ()),
    (moves.ARBITER, 1_000, 2 * HOUR, 3 * HOUR, 15, 2, 2 * DAY, 500, moves.ATTESTORS),
    (moves.FEE_RECIPIENT, 5_000, 6 * HOUR, HOUR, 60, 1, DAY, 5_000, (moves.ATTESTORS[0], moves.BUYERS[1])),
    (moves.PROVIDERS[1], 500, DAY, DAY, 15, 1, DAY, 0, moves.ATTESTORS[:1]),
]
DEPOSITS = [
    (moves.BUYERS[0], 3_000 * UNIT),
    (moves.BUYERS[1], 2_000 * UNIT),
    (moves.BUYERS[2], 40 * UNIT),
    (moves.PROVIDERS[0], 1_000 * UNIT),
    (moves.PROVIDERS[1], 60 * UNIT),
]


def register(policy: tuple[Any, ...]) -> Call:
    arbiter, bond, challenge, grace, notice, threshold, arbitration, share, parties = policy
    attestors = tuple(sorted((party.address for party in parties), key=lambda address: int(address, 16)))
    windows = (challenge, grace, notice, threshold, arbitration)
    message = Policy(arbiter.address, bond, *windows, share, attestors_hash(attestors))
    return Call("registerPolicy", (message, attestors))


def opening_moves(escrow: str) -> Iterator[tuple[str, Call]]:
    """Say who does what before the traces begin: tokens, allowances, balances, policies."""
    for party in moves.HOLDERS:
        yield party.address, Call("token.mint", (party.address, 5_000 * UNIT))
        yield party.address, Call("token.approve", (escrow, UNLIMITED))
    yield moves.WHALE.address, Call("token.mint", (moves.WHALE.address, 2**97))
    yield moves.WHALE.address, Call("token.approve", (escrow, UNLIMITED))
    for party, amount in DEPOSITS:
        yield party.address, Call("deposit", (party.address, amount))
    for policy in POLICIES:
        yield RELAYER.address, register(policy)


def deployed(node: Node, project: Any, uri: str) -> tuple[Stage, Model]:
    token = node.deploy(project.MoltToken, "MOLT", "MOLT", len(str(UNIT)) - 1)
    holders = (moves.FEE_RECIPIENT.address, moves.GUARDIAN.address, moves.FEE_SETTER.address)
    delays = (WITHDRAW_DELAY, CANCEL_DELAY)
    contract = node.deploy(project.MoltEscrow, token.address, *holders, FEE_BPS, *delays)
    escrow, money = str(contract.address).lower(), str(token.address).lower()
    setting = Setting(
        escrow=escrow,
        fee_recipient=moves.FEE_RECIPIENT.address,
        withdraw_delay=WITHDRAW_DELAY,
        cancel_delay=CANCEL_DELAY,
        domain=Domain("MoltEscrow", node.chain_id, escrow),
        token_domain=Domain("MOLT", node.chain_id, money),
    )
    roles = {GUARDIAN: (moves.GUARDIAN.address, ZERO), FEE_SETTER: (moves.FEE_SETTER.address, ZERO)}
    state = State(Config(next_fee_bps=FEE_BPS), roles=roles, tokens={escrow: 0})
    model = Model(setting, state)
    stage = Stage(Chain(uri, {False: escrow, True: money}), CAST)
    model.now = node.now
    for sender, call in opening_moves(escrow):
        assert stage.play(model, sender, model.now + 1, call) is None
    stage.steps.clear()
    return stage, model
