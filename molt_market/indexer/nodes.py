"""One log out of one node or several: what they say has to fit together, and to be the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import WARNING
from typing import TypeVar

from molt_market.domain.events import Block, DealOpened
from molt_market.errors import ChainError, NodeError, NodesDisagree
from molt_market.indexer.ports import Checkpoint, Log
from molt_market.indexer.records import DealRecord
from molt_market.signing.hashes import deal_id
from molt_market.signing.typed_data import Domain
from molt_market.telling import tell

Answer = TypeVar("Answer")


class Nodes:
    """Asks all nodes. One that fails or contradicts itself is left out, as long as another one answers.

    What a node says of blocks is believed if they are linked by their hashes, every deal's terms hash to its
    id, and the contract has stored what the log comes to. Raises NodesDisagree where two tell different
    things, and what the first node raised where none answers.
    """

    def __init__(self, logs: Sequence[Log], domain: Domain, confirmations: int) -> None:
        self._logs = logs
        self._domain = domain
        self._confirmations = confirmations

    def confirmed_beyond(self, number: int) -> int | None:
        """Return a later, confirmed block that as many nodes as possible have; None if there is none."""

        def confirmed(each: Log) -> int:
            last = each.head() - self._confirmations
            if last > number and each.hash_at(last) is None:
                raise NodeError(
                    f"the node says that its head is later than {last}, and does not have that block"
                )
            return last

        return min((last for last in self._ask(confirmed) if last > number), default=None)

    def stands(self, checkpoint: Checkpoint) -> bool:
        """Tell whether a block is still on the chain, as far as the nodes know: they may lag."""
        told = [each for each in self._ask(lambda each: each.hash_at(checkpoint.number)) if each is not None]
        return not told or _agreed(checkpoint.number, told) == checkpoint.hash

    def blocks(self, numbers: range, after: Checkpoint | None) -> Sequence[Block]:
        """Return these blocks, the first of which has to follow a known one."""

        def read(each: Log) -> Sequence[Block]:
            blocks = each.blocks(numbers)
            _require_linked(blocks, after)
            self._require_terms(blocks)
            return blocks

        answers = self._ask(read)
        return [_agreed(told[0].number, told) for told in zip(*answers, strict=True)]

    def require_stored(self, records: Sequence[DealRecord], block: int) -> None:
        """Raise NodeError unless the contract has stored for these deals what the log comes to."""

        def compare(each: Log) -> None:
            stored = each.deals([record.id for record in records], block)
            for record, deal in zip(records, stored, strict=True):
                if record.deal != deal:
                    raise NodeError(
                        f"by the log deal {record.id} is {record.deal.status.name}, at block {block} the"
                        f" contract has {deal} for it: logs are missing; use another node"
                    )

        self._ask(compare)

    # ---------------------------------------------------------------- inside

    def _ask(self, question: Callable[[Log], Answer]) -> list[Answer]:
        answers, failures = [], []
        for each in self._logs:
            try:
                answers.append(question(each))
            except ChainError as error:
                failures.append(error)
        if not answers:
            raise failures[0]
        for failure in failures:
            tell("node_left_out", level=WARNING, reason=failure)
        return answers

    def _require_terms(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            for event in block.events:
                if isinstance(event, DealOpened) and deal_id(event.terms, self._domain) != event.deal_id:
                    raise NodeError(f"the node shows other terms for deal {event.deal_id}: use another node")


def _require_linked(blocks: Sequence[Block], after: Checkpoint | None) -> None:
    before = None if after is None else after.hash
    for block in blocks:
        if before is not None and block.parent != before:
            raise NodeError(
                f"block {block.number} does not follow {before}: the chain was reorganised just now, or the"
                " node mixes two chains; try again"
            )
        before = block.hash


def _agreed(number: int, answers: Sequence[Answer]) -> Answer:
    first = answers[0]
    for other in answers[1:]:
        if other != first:
            raise NodesDisagree(number, str(first), str(other))
    return first
