"""The example of docs/recovery.md: two deals on a local chain, and what the script makes of them.

python -m scripts.recover.example prints the same on every machine, and a test compares it with the page.
"""

from datetime import datetime, timedelta

from molt_market import (
    Amount,
    CapacityOffer,
    GpuCapacity,
    JobOrder,
    JobRequirements,
    OrderBook,
    sign_offer,
    sign_voucher,
)
from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.signing.statements import sign_receipt
from molt_market.testing import Devnet, devnet
from scripts.recover.__main__ import Recovery

NEW_YEAR = datetime.fromisoformat("2035-01-01T00:00:00Z")  # block times come from no machine's clock
HOURS = 8


def main() -> int:
    with devnet() as net:
        return example(net)


def example(net: Devnet) -> int:
    """Open two deals; one is claimed and due, the other one still runs. Then run the script, as anybody."""
    until(net, NEW_YEAR)
    claimed = deal(net)
    until(net, NEW_YEAR + timedelta(hours=HOURS))
    claim(net, claimed)
    running = deal(net)
    until(net, NEW_YEAR + timedelta(hours=HOURS + 2))
    confirm(net, running, running.terms.gpu_seconds // 4)
    until(net, NEW_YEAR + timedelta(hours=HOURS + 3))
    return Recovery(net.url, net.deployment.escrow, None, 2_000).run(net.stranger)


def until(net: Devnet, moment: datetime) -> None:
    """Let the next blocks come at this time."""
    net.node.request("anvil_setBlockTimestampInterval", 1)
    net.node.request("evm_setNextBlockTimestamp", seconds(moment))
    net.node.request("evm_mine")


def deal(net: Devnet) -> EscrowAccount:
    """Open a deal of 4 GPUs for 8 hours at 2.5 MOLT."""
    now = net.clock.now()
    offer = CapacityOffer(
        provider_id=net.provider.address,
        agent=net.agent.address,
        gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
        price_per_hour=Amount.from_molt("2.50"),
        available_hours=24,
        policy_id=net.policy_id,
        created_at=now,
    )
    needs = JobRequirements(
        min_gpu_count=4, min_vram_gb=80, estimated_hours=HOURS, max_price_per_hour=Amount.from_molt(3)
    )
    book = OrderBook(net.clock)
    book.add_offer(sign_offer(offer, net.provider, net.domain))
    order = JobOrder(buyer_id=net.buyer.address, requirements=needs, created_at=now)
    payments = net.payments(net.buyer, book=book)
    return payments.create_job_escrow(book.match_order(order)[0], net.buyer)


def confirm(net: Devnet, escrow: EscrowAccount, units: int) -> None:
    """Bring the buyer's voucher for so much."""
    net.payments(net.provider).redeem(escrow, sign_voucher(escrow.id, units, net.buyer, net.domain))


def claim(net: Devnet, escrow: EscrowAccount) -> None:
    """Claim the whole allocation, by agent and quorum."""
    receipt = sign_receipt(escrow.id, escrow.terms.gpu_seconds, net.agent, net.domain)
    signed = [countersign(receipt, attestor, net.domain) for attestor in net.attestors[:2]]
    client = net.client(net.provider)
    client.send(client.calls.claim(escrow.terms, assemble_proof(receipt, signed, net.policy)))


if __name__ == "__main__":
    raise SystemExit(main())
