"""From match to machine: a real job over a real input, paid for by what processes of their own have seen."""

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from molt_market import (
    Amount,
    Buyer,
    CapacityOffer,
    DealStatus,
    EscrowAccount,
    GpuCapacity,
    InputFile,
    JobOrder,
    JobRequirements,
    JobSpec,
    Provider,
    SealingKey,
    job_spec_hash,
)
from scripts.demo.opening import enter
from scripts.demo.processes import programs
from scripts.demo.stage import Deal, Stage
from scripts.demo.tables import chapter, say, table

DRAWN = random.Random(8)
NUMBERS = "".join(f"{DRAWN.randrange(10**12)}\n" for _ in range(50_000))
COMMAND = "sleep 4; sort -n numbers.txt > sorted.txt; tail -n 1 sorted.txt > largest.txt"
WAIT = 60.0


def from_match_to_machine(stage: Stage) -> None:
    """Hand a job over to a gateway, fetch its result, and let attestors say what may be paid."""
    chapter("From match to machine")
    net = stage.net
    provider, agent, buyer = stage.cast["provider-2"], stage.cast["agent-2"], stage.cast["buyer-3"]
    with programs(net) as started, _serving(NUMBERS.encode()) as url:
        server = started.market()
        started.gateway(server, agent, provider)
        for attestor in net.attestors:
            started.attestor(server, attestor)
        say("A market, a provider's gateway and three attestors run, each a process with a key of its own.")
        here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
        with Provider(server, provider, **here) as sells, Buyer(server, buyer, **here) as buys:
            sells.offer(_offer(sells, agent.address))
            spec = _spec(url)
            match = buys.match(_order(buys, spec))[0]
            deal = enter(stage, "a job that ran", match, buys.open(match))
            # a job that ends early costs no bond
            deal.agreed = replace(deal.agreed, tolerated=deal.agreed.allocated)
            _run(buys, deal.escrow, spec, started.folder)
            _paid(stage, deal, buys)


def _spec(url: str) -> JobSpec:
    digest = hashlib.sha256(NUMBERS.encode()).hexdigest()
    return JobSpec(
        command=("sh", "-c", COMMAND),
        inputs=(InputFile(path="numbers.txt", url=url, sha256=digest),),
        outputs=("sorted.txt", "largest.txt"),
    )


def _offer(provider: Provider, agent: str) -> CapacityOffer:
    return CapacityOffer(
        provider_id=provider.wallet.address,
        gpu_capacity=GpuCapacity(gpu_count=2, gpu_model="L4", vram_gb=24),
        price_per_hour=Amount.from_molt("0.80"),
        available_hours=24,
        agent=agent,
        slot=900,
        policy_id=provider.api.market().policies[0].policy_id,
        created_at=provider.client.now(),
    )


def _order(buyer: Buyer, spec: JobSpec) -> JobOrder:
    needs = JobRequirements(
        min_gpu_count=2,
        min_vram_gb=24,
        estimated_hours=1,
        max_price_per_hour=Amount.from_molt(1),
        required_models=["L4"],
    )
    return JobOrder(
        buyer_id=buyer.wallet.address,
        requirements=needs,
        job_spec_hash=job_spec_hash(spec),
        created_at=buyer.client.now(),
    )


def _run(buyer: Buyer, escrow: EscrowAccount, spec: JobSpec, folder: Path) -> None:
    """Hand the job over, fetch what it left, and compare that with what it had to be."""
    key = SealingKey.generate()
    buyer.hand_over(escrow, spec, key, WAIT)
    say(f"The buyer's job goes sealed to the agent: [bold]{COMMAND}[/bold], over {len(NUMBERS):,} bytes.")
    paths = buyer.fetch(escrow, key, folder / "results", WAIT, private=True)
    largest = max(map(int, NUMBERS.split()))
    found = (folder / "results" / "largest.txt").read_text()
    if int(found) != largest:
        raise AssertionError(f"the job found {found}, the largest number is {largest}")
    result = buyer.job_result(escrow, key)
    table(
        ("file", ">bytes", "SHA-256, as the agent has signed and the buyer has checked"),
        [
            (path.name, f"{each.size:,}", each.sha256)
            for path, each in zip(paths, result.outputs, strict=True)
        ],
    )
    say(f"The largest number is {largest:,}: the buyer has looked it up himself.")


def _paid(stage: Stage, deal: Deal, buyer: Buyer) -> None:
    """Wait for the gateway's claim, let its window pass, and have it paid."""
    client, escrow = stage.client("stranger"), deal.escrow
    _until(lambda: client.escrow(escrow.id).status is DealStatus.CLAIMED)
    claimed = client.escrow(escrow.id)
    signed = [
        posted.sender
        for posted in buyer.api.documents(escrow.id)
        if posted.document.receipt is not None and posted.sender != escrow.terms.agent
    ]
    units = claimed.claimed_gpu_seconds
    say(
        f"The job took {units} of {escrow.terms.gpu_seconds} GPU-seconds: heartbeats, the answers to"
        f" {len(set(signed))} attestors' pings and the chain's time bear that out. The gateway claims it."
    )
    stage.until(stage.hour + 2, "the hour to contest the claim is over")
    _until(lambda: client.escrow(escrow.id).status is DealStatus.RELEASED)
    stage.ledger.paid(deal.agreed, units)
    say("a job that ran: paid by the second, and nobody but its parties could read what it was.")


@contextmanager
def _serving(content: bytes) -> Iterator[str]:
    """Serve the job's input, as the buyer's own store would."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/numbers.txt"
        server.shutdown()


def _until(holds: Any) -> None:
    """Wait until something holds; a minute is far more than it takes."""
    waited = threading.Event()
    for _ in range(int(WAIT * 5)):
        if holds():
            return
        waited.wait(0.2)
    raise TimeoutError("it took more than a minute")
