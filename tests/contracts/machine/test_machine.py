"""Random traces of every verb, on the chain and in a model that shares no code with the product (I27).

HYPOTHESIS_PROFILE=deep plays many more; otherwise the traces are the same in every run. The summary at the
end says how often each transition happened; one of ESCROW 2 that never did is a failure.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.contracts.machine import moves
from tests.contracts.machine.deal import LIVE
from tests.contracts.machine.deployment import deployed
from tests.contracts.machine.model import (
    MOST_CALLS,
    Model,
    Refusal,
)
from tests.contracts.machine.moves import RELAYER, THIEF, Dice, Memory, Move, Moves
from tests.contracts.machine.stage import Stage, predict
from tests.contracts.machine.wire import VERBS, Call
from tests.contracts.node import Node

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
STEPS = 70
TRACES = 22
EFFORT = settings(
    max_examples=1_000 if DEEP else 10,
    stateful_step_count=STEPS if DEEP else 40,
    derandomize=not DEEP,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SEEDS = st.integers(0, 2**64 - 1)

TRANSITIONS = {  # of ESCROW 2, each with the ends that it can have
    "open: NONE -> LOCKED",
    "release: LOCKED -> LOCKED",
    "release: LOCKED -> RELEASED",
    "stop: LOCKED -> LOCKED",
    "stop: LOCKED -> LOCKED (excused)",
    "cancelDeal: LOCKED -> RELEASED",
    "cancelDeal: LOCKED -> REFUNDED",
    "claim: LOCKED -> CLAIMED",
    "claim: LOCKED -> CLAIMED (completed)",
    "claimUnattested: LOCKED -> DISPUTED (unattested)",
    "release: CLAIMED -> CLAIMED",
    "release: CLAIMED -> RELEASED",
    "dispute: CLAIMED -> DISPUTED",
    "finalize: CLAIMED -> RELEASED",
    "resolve: DISPUTED -> RELEASED",
    "resolve: DISPUTED -> REFUNDED",
    "concede by provider: DISPUTED -> RELEASED",
    "concede by provider: DISPUTED -> REFUNDED",
    "concede by buyer: DISPUTED -> RELEASED",
    "finalize: DISPUTED -> RELEASED (attested)",
    "finalize: DISPUTED -> RELEASED (unattested)",
    "finalize: DISPUTED -> REFUNDED (unattested)",
    "finalize: LOCKED -> RELEASED",
    "finalize: LOCKED -> REFUNDED",
    "settle: LOCKED -> RELEASED",
    "settle: LOCKED -> REFUNDED",
    "settle: CLAIMED -> RELEASED",
    "settle: CLAIMED -> REFUNDED",
    "settle: DISPUTED -> RELEASED",
    "settle: DISPUTED -> REFUNDED",
}


class Machine(RuleBasedStateMachine):
    """Several buyers and providers, slots that share pools, policies of 0 to 2 signatures, every verb.

    A rule draws nothing but a seed, from which `Moves` makes a call that suits what the model holds then.
    """

    stage: Stage
    base: Model

    def __init__(self) -> None:
        super().__init__()
        self.model = self.base.copy()
        self.memory = Memory()
        self.seeds: Counter[int] = Counter()
        self.told: list[str] = []
        self.compared = True  # nothing differed so far
        self.snapshot = self.stage.chain.request("evm_snapshot")

    def teardown(self) -> None:
        note("\n".join(self.told))
        if self.compared:
            self.finish()
        self.stage.chain.revert(self.snapshot)

    def dice(self, seed: int) -> Dice:
        """Hypothesis repeats some seeds very often: the next time they stand for something else."""
        self.seeds[seed] += 1
        return Dice(f"{seed} {self.seeds[seed]}")

    def moves(self, dice: Dice) -> Moves:
        return Moves(dice, self.model, self.memory)

    def make(self, move: Move | None, model: Model | None = None) -> Refusal | None:
        """Make a move on both sides. Unless it is only tried, in a model of its own, it counts."""
        if move is None:
            return None
        self.compared = False
        refusal = self.stage.play(model or self.model, *move)
        self.compared = True
        sender = moves.BY_ADDRESS[move.sender].name
        self.told.append(f"{move.call.verb} at {move.time} by {sender}: {refusal or 'done'}")
        if model is None:
            self.stage.count(self.model, move.call, refusal)
            self.memory.sent += [move] if refusal is None else []
        return refusal

    # ---------------------------------------------------------------- rules: a seed stands for a move

    @rule(seed=SEEDS)
    def open(self, seed: int) -> None:
        """Open a deal, and compare what `check` answers at the same second."""
        move = self.moves(self.dice(seed)).open()
        self.make(move)
        (match,) = move.call.args
        self.stage.check(self.model, match, move.sender)

    @rule(seed=SEEDS)
    def deal(self, seed: int) -> None:
        """Any verb of a deal, once there are some deals."""
        moves_ = self.moves(self.dice(seed))
        if not moves_.live():
            self.open(seed)
        else:
            self.make(moves_.on_deal())

    @rule(seed=SEEDS)
    def around(self, seed: int) -> None:
        """Money, cancels, policies, approvals."""
        dice = self.dice(seed)
        drawn = self.moves(dice)
        kinds = [*[drawn.money] * 3, drawn.cancel, drawn.policy, drawn.revoke]
        chosen = dice.number(0, 8)
        if chosen < len(kinds):
            self.make(kinds[chosen]())
        elif chosen == len(kinds) or not self.memory.agreed:
            self.approve(drawn)
        else:
            self.use_approval(dice)

    @rule(seed=SEEDS)
    def use_role(self, seed: int) -> None:
        """Pause, fee, and who may set them."""
        self.make(self.moves(self.dice(seed)).role())

    @rule(seed=SEEDS)
    def combine(self, seed: int) -> None:
        """The same again, several together, several in another order."""
        dice = self.dice(seed)
        dice.pick([self.replay, self.multicall, self.multicall, self.vouchers])(dice)

    # ---------------------------------------------------------------- approvals

    def approve(self, drawn: Moves) -> None:
        """Approve all that a call needs signed; from then on anyone can make it without signatures."""
        move = drawn.to_approve()
        if move is None:
            return
        for signer, digest in drawn.approvals or []:
            self.make(Move(signer, self.model.now + 1, Call("approve", (digest,))))
        self.memory.agreed.append(move)

    def use_approval(self, dice: Dice) -> None:
        move = dice.pick(self.memory.agreed[-3:])
        self.make(move._replace(sender=THIEF.address, time=max(move.time, self.model.now + 1)))

    # ---------------------------------------------------------------- again, together, in another order

    def replay(self, dice: Dice) -> None:
        """Send again what succeeded: what somebody signed, and what changed a deal, is refused (I15)."""
        if not self.memory.sent:
            return
        move = dice.pick(self.memory.sent[-20:])
        before = self.model.copy()
        refusal = self.make(move._replace(time=self.model.now + 1))
        if _once(move):
            assert refusal is not None
        if refusal is not None:
            assert self.model.state == before.state

    def multicall(self, dice: Dice) -> None:
        """A multicall does what its items do one by one, and a refused one changes nothing (I16)."""
        sender = dice.pick([RELAYER, RELAYER, *moves.BUYERS, *moves.PROVIDERS]).address
        first = self.moves(dice)
        first.moment()
        time, skip = first.at(), dice.chance(70)
        items = [Call("pause")] * (MOST_CALLS + 1) if dice.chance(2) else list(self.items(dice, sender, time))
        alone = self.model.copy()
        with self.stage.chain.undone():
            if not self._one_by_one(alone, sender, time, items) and not skip:
                alone = self.model.copy()
        self.make(Move(sender, time, Call("multicall", (tuple(items), skip))))
        assert self.model.state == alone.state

    def _one_by_one(self, alone: Model, sender: str, time: int, items: Sequence[Call]) -> bool:
        """Make the calls in transactions of their own, at the same second, and tell whether all succeeded."""
        if len(items) > MOST_CALLS:
            return False
        moves_ = [Move(sender, time, item) for item in items if _stands_alone(item)]
        refusals = [self.make(move, alone) for move in moves_]
        return len(moves_) == len(items) and not any(refusals)

    def items(self, dice: Dice, sender: str, time: int) -> Iterator[Call]:
        """Draw items that build on one another."""
        sketch = self.model.copy()
        for _ in range(dice.number(1, 5)):
            move = Moves(dice, sketch, self.memory, sender=sender, time=time).any()
            if move is not None:
                predict(sketch, *move)
                yield move.call

    def vouchers(self, dice: Dice) -> None:
        """Whatever the order in which a deal's vouchers come, they bring the same (I22)."""
        drawn = self.moves(dice).vouchers()
        other = self.model.copy()
        with self.stage.chain.undone():
            for number, call in enumerate(reversed(drawn), start=1):
                self.make(Move(RELAYER.address, self.model.now + number, call), other)
        for call in drawn:
            self.make(Move(RELAYER.address, self.model.now + 1, call))
        assert self.model.state == other.state

    # ---------------------------------------------------------------- the end

    def finish(self) -> None:
        """Let time pass and finalize: no state lacks an exit, and nothing is left over (I03, I14, I36)."""
        deals = [deal for deal in self.model.state.deals.values() if deal.status in LIVE]
        time = max([self.model.now + 1, *(deal.deadline for deal in deals)])
        items = tuple(Call("finalize", (deal.terms,)) for deal in deals)
        self.make(Move(THIEF.address, time, Call("multicall", (items, False))))
        assert all(deal.held == 0 for deal in self.model.state.deals.values())
        assert all(deal.status not in LIVE for deal in self.model.state.deals.values())
        assert all(not self.model.gpus_in_use(*pool) for pool in self.model.pools())


def _once(move: Move) -> bool:
    """Tell whether this call, once it has succeeded, must never succeed again."""
    verb: str = move.call.verb
    args: tuple[Any, ...] = move.call.args
    if verb == "multicall":
        items, skip = args
        return not skip and any(_once(move._replace(call=item)) for item in items)
    if verb in {"requestWithdraw", "withdraw", "cancel"}:  # of the account itself they are no signed request
        return bool(move.sender != args[0] or args[-1])
    if verb == "depositWithPermit":
        return bool(move.sender != args[0])
    return verb == "open" or verb in moves.DEAL_VERBS


def _stands_alone(item: Call) -> bool:
    """Tell whether an item can be sent as a transaction of its own; the others are refused as items."""
    return item.verb in VERBS and item.verb != "multicall"


# ---------------------------------------------------------------- tests


@pytest.fixture(scope="module")
def machine(node: Node, project: Any, chain: Any) -> type[Machine]:
    stage, base = deployed(node, project, chain.provider.http_uri)
    return type("TheMachine", (Machine,), {"stage": stage, "base": base})


def test_the_chain_and_the_model_agree(machine: type[Machine]) -> None:
    """I27, and the invariants that single rules name. Hypothesis shortens a trace on which they differ."""
    run_state_machine_as_test(machine, settings=EFFORT)


def test_every_transition_happens(machine: type[Machine], record: Callable[[str], None]) -> None:
    """The same rules on fixed traces: all of ESCROW 2 happens, and nothing else (I04).

    After each step the tokens are balances, live deals and gifts (I01, I02), and the GPUs in use are those of
    the LOCKED deals, which the model counts anew each time (I09, I35).
    """
    machine.stage.steps.clear()
    machine.stage.refusals.clear()
    for number in range(TRACES):
        walk(machine(), Random(number), busy_roles=number % 10 == 9)
    steps = machine.stage.steps
    record(summary(machine.stage))
    made = {label for label in steps if " -> " in label}
    assert made == TRANSITIONS, f"never happened, or not allowed: {sorted(made ^ TRANSITIONS)}"
    verbs = set(VERBS) - {"token.mint"}
    assert not [verb for verb in verbs if not steps[verb]], "some verb never succeeded"
    refused = verbs - {"approve", "revoke", "token.approve", "token.transfer"}
    assert not [verb for verb in refused if not steps[f"{verb} refused"]], "some verb was never refused"


def walk(machine: Machine, random: Random, *, busy_roles: bool) -> None:
    rules = [machine.open, *[machine.deal] * 5, machine.around, machine.around, machine.combine]
    if busy_roles:
        rules = [machine.open, machine.deal, machine.use_role, machine.use_role]
    try:
        for _ in range(STEPS):
            random.choice(rules)(random.getrandbits(64))
        machine.finish()
    except AssertionError as error:
        raise AssertionError("\n".join([*machine.told, str(error)])) from error
    finally:
        machine.stage.chain.revert(machine.snapshot)


def summary(stage: Stage) -> str:
    made: dict[str, list[str]] = {}
    for label, count in sorted(stage.steps.items()):
        verb, _, transition = label.partition(": ")
        if transition:
            made.setdefault(verb, []).append(f"{transition} {count}")
    lines = [f"{verb}: {', '.join(transitions)}" for verb, transitions in made.items()]
    verbs = [f"{verb} {stage.steps[verb]}/{stage.steps[f'{verb} refused']}" for verb in VERBS]
    codes = [f"{code} {count}" for code, count in sorted(stage.refusals.items())]
    return "\n".join([*lines, f"calls done/refused: {', '.join(verbs)}", f"refusals: {', '.join(codes)}"])
