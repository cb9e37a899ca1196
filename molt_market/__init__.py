"""molt-market: a GPU-compute market whose money sits in one contract.

Everything public is here. A name is imported when it is first used: `import molt_market` itself is quick, and
asks for neither a chain nor a key.

>>> from molt_market import Amount
>>> str(Amount.from_molt("1.5"))
'1.5 MOLT'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from molt_market.errors import (
    AgentSilent,
    AnvilNotFound,
    CallReverted,
    CannotOpen,
    ChainError,
    DealNotFound,
    DeploymentMismatch,
    DeploymentNotFound,
    EscrowError,
    Expired,
    GasBudgetUsedUp,
    InexactAmount,
    InsufficientCapacity,
    InsufficientGas,
    InsufficientTokens,
    InvalidQuery,
    InvalidSignature,
    InvalidStateTransition,
    InvalidValue,
    JobRefused,
    MarketError,
    MarketMismatch,
    MatchMismatch,
    MoltError,
    NegativeAmount,
    NodeError,
    NodesDisagree,
    NodeUnreachable,
    NoFaucet,
    NoMatchingOffers,
    NotFollowed,
    NotOffered,
    NotReserved,
    NotYet,
    OfferNotFound,
    OrderNotFound,
    OtherDeployment,
    PaymentFailed,
    PolicyNotFound,
    PolicyWarning,
    PriceExceedsBudget,
    ProofMismatch,
    Refused,
    ReservationLapsed,
    ResultMismatch,
    ServerError,
    ServerUnreachable,
    SignatureError,
    StorageUnavailable,
    TokenMismatch,
    TooManyDocuments,
    TooManyRequests,
    TooManyReservations,
    TooManySubscriptions,
    TransactionDropped,
    TransactionFailed,
    TransactionPending,
    TransactionRejected,
    TransactionUnderpriced,
    Unfinalised,
    UnknownModel,
    UnsignedOffer,
    UnsignedOrder,
    UnsuitableToken,
    WalletError,
    WalletNotFound,
    WrongChain,
    WrongPassword,
    WrongSigner,
)

if TYPE_CHECKING:
    from molt_market.alerts.courier import Courier, Retries
    from molt_market.alerts.kinds import Alert, AlertKind
    from molt_market.alerts.watch import AlertLimits
    from molt_market.alerts.webhooks import SendingLimits, verify_webhook
    from molt_market.app import account_deals, account_statement, alert_courier, connect, follow, relayer
    from molt_market.attestation.evidence import (
        EvidenceContent,
        EvidenceFindings,
        HeartbeatInLog,
        examine,
        lay_heartbeats,
    )
    from molt_market.attestation.receipts import assemble_proof, countersign, issue_receipt
    from molt_market.attestation.tee import (
        TdxEvidence,
        TeeOutcome,
        TeeVerdict,
        tee_binding,
        verify_nvidia,
        verify_tdx,
    )
    from molt_market.attestation.usage import GpuReading, Heartbeat, ProcessReading, UsageLog, covered_seconds
    from molt_market.attestation.verdict import verify_proof
    from molt_market.attestation.verifier import RejectionCode, verify_execution, verify_receipt_of_agent
    from molt_market.chain.client import MoltClient
    from molt_market.chain.deploy import deploy
    from molt_market.chain.deployments import Deployment, load_deployment
    from molt_market.chain.networks import Network
    from molt_market.chain.panel import Panel, deploy_panel
    from molt_market.chain.plans import TokenSpec
    from molt_market.domain.agreements import (
        Concession,
        ProviderCancellation,
        Ruling,
        RulingVote,
        SplitAgreement,
        StopRequest,
        UnattestedClaim,
    )
    from molt_market.domain.amounts import MOLT, Amount, Token
    from molt_market.domain.balances import Balances
    from molt_market.domain.clock import Clock, SystemClock
    from molt_market.domain.deals import DealStatus, EscrowAccount, EscrowState
    from molt_market.domain.disputes import Dispute, DisputeOutcome, DisputeReason, DisputeResolution
    from molt_market.domain.endings import (
        ContestQuote,
        quote_default,
        quote_dispute,
        quote_ruling,
        quote_split,
        quote_unattested_claim,
    )
    from molt_market.domain.evidence import Evidence
    from molt_market.domain.gpus import Feature, GpuCapacity, Location
    from molt_market.domain.ids import Address, DisputeId, EscrowId, Hash32, OfferId, OrderId, TransactionId
    from molt_market.domain.jobs import (
        Access,
        HandOver,
        HandOverAnswer,
        InputFile,
        JobKind,
        JobLimits,
        JobResult,
        JobSpec,
        OutputFile,
    )
    from molt_market.domain.matches import OrderMatch, ScorePart
    from molt_market.domain.offers import CapacityOffer, OfferStatus
    from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus, Priority, TimeInForce
    from molt_market.domain.pings import Gateway, Ping, PingAnswer, Rejection
    from molt_market.domain.policies import Policy
    from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
    from molt_market.domain.relays import RelayRequest
    from molt_market.domain.requests import OrdersCancellation, Side, Withdrawal, WithdrawalRequest
    from molt_market.domain.roles import EscrowConfig, Role, RoleHolder
    from molt_market.domain.settlement import (
        JobSettlementInput,
        SettlementQuote,
        SettlementResult,
        SettlementStatus,
        gpu_seconds,
        quote_settlement,
    )
    from molt_market.domain.terms import Terms
    from molt_market.domain.transactions import TransactionReceipt
    from molt_market.indexer.follower import Follower
    from molt_market.indexer.reliability import ProviderReliability
    from molt_market.orderbook.book import OrderBook
    from molt_market.orderbook.explain import Explanation
    from molt_market.orderbook.fills import Execution, Fill
    from molt_market.orderbook.market_data import BestPrice, Depth, PriceLevel, PriceStatistics, Trade
    from molt_market.orderbook.quote import Quote
    from molt_market.orderbook.relaxations import Relaxation
    from molt_market.orderbook.reservations import Reservation
    from molt_market.orderbook.scoring import ScoreWeights
    from molt_market.payments.asynchronous import AsyncPaymentService
    from molt_market.payments.fees import FeePolicy
    from molt_market.payments.gas import GasBudget, GasPolicy
    from molt_market.payments.journal import Journal, MemoryJournal
    from molt_market.payments.keeper import Keeper
    from molt_market.payments.parts import FailedPart, OpenedParts
    from molt_market.payments.relayer import Relayer
    from molt_market.payments.service import PaymentService
    from molt_market.payments.settlement import settle_job, settle_jobs
    from molt_market.sdk.api import MarketApi
    from molt_market.sdk.asynchronous import AsyncAttestor, AsyncBuyer, AsyncMarketApi, AsyncProvider
    from molt_market.sdk.attestor import Attestor
    from molt_market.sdk.buyer import Buyer
    from molt_market.sdk.provider import Provider
    from molt_market.sdk.watch import Look, MemoryPings, PingStore, Watch, WatchPolicy
    from molt_market.signing.agreements import (
        sign_cancellation,
        sign_concession,
        sign_dispute,
        sign_ruling,
        sign_split,
        sign_stop,
        sign_unattested_claim,
        sign_vote,
        verify_dispute,
        verify_ruling,
        verify_split,
        verify_statement,
        verify_vote,
    )
    from molt_market.signing.hashes import (
        deal_id,
        job_spec_hash,
        offer_hash,
        order_hash,
        policy_id,
        result_digest,
        terms_of,
    )
    from molt_market.signing.relays import sign_relay_request, verify_relay_request
    from molt_market.signing.requests import (
        sign_orders_cancellation,
        sign_withdrawal,
        sign_withdrawal_request,
        verify_request,
    )
    from molt_market.signing.sealing import SealingKey, seal
    from molt_market.signing.signers import ApprovingSigner, LocalSigner, Signer
    from molt_market.signing.statements import (
        sign_offer,
        sign_order,
        sign_receipt,
        sign_voucher,
        verify_offer,
        verify_order,
        verify_receipt,
        verify_voucher,
    )
    from molt_market.signing.typed_data import Domain
    from molt_market.signing.wallet import Wallet
    from molt_market.storage.database import Database
    from molt_market.storage.journal import SqlJournal

__all__ = [
    "MOLT",
    "Access",
    "Address",
    "AgentSilent",
    "Alert",
    "AlertKind",
    "AlertLimits",
    "Amount",
    "AnvilNotFound",
    "ApprovingSigner",
    "AsyncAttestor",
    "AsyncBuyer",
    "AsyncMarketApi",
    "AsyncPaymentService",
    "AsyncProvider",
    "Attestation",
    "Attestor",
    "Balances",
    "BestPrice",
    "Buyer",
    "CallReverted",
    "CannotOpen",
    "CapacityOffer",
    "ChainError",
    "Clock",
    "Concession",
    "Confirmation",
    "ContestQuote",
    "Courier",
    "Database",
    "DealNotFound",
    "DealStatus",
    "Deployment",
    "DeploymentMismatch",
    "DeploymentNotFound",
    "Depth",
    "Dispute",
    "DisputeId",
    "DisputeOutcome",
    "DisputeReason",
    "DisputeResolution",
    "Domain",
    "EscrowAccount",
    "EscrowConfig",
    "EscrowError",
    "EscrowId",
    "EscrowState",
    "Evidence",
    "EvidenceContent",
    "EvidenceFindings",
    "Execution",
    "ExecutionProof",
    "Expired",
    "Explanation",
    "FailedPart",
    "Feature",
    "FeePolicy",
    "Fill",
    "Follower",
    "GasBudget",
    "GasBudgetUsedUp",
    "GasPolicy",
    "Gateway",
    "GpuCapacity",
    "GpuReading",
    "HandOver",
    "HandOverAnswer",
    "Hash32",
    "Heartbeat",
    "HeartbeatInLog",
    "InexactAmount",
    "InputFile",
    "InsufficientCapacity",
    "InsufficientGas",
    "InsufficientTokens",
    "InvalidQuery",
    "InvalidSignature",
    "InvalidStateTransition",
    "InvalidValue",
    "JobKind",
    "JobLimits",
    "JobOrder",
    "JobRefused",
    "JobRequirements",
    "JobResult",
    "JobSettlementInput",
    "JobSpec",
    "Journal",
    "Keeper",
    "LocalSigner",
    "Location",
    "Look",
    "MarketApi",
    "MarketError",
    "MarketMismatch",
    "MatchMismatch",
    "MemoryJournal",
    "MemoryPings",
    "MoltClient",
    "MoltError",
    "NegativeAmount",
    "Network",
    "NoFaucet",
    "NoMatchingOffers",
    "NodeError",
    "NodeUnreachable",
    "NodesDisagree",
    "NotFollowed",
    "NotOffered",
    "NotReserved",
    "NotYet",
    "OfferId",
    "OfferNotFound",
    "OfferStatus",
    "OpenedParts",
    "OrderBook",
    "OrderId",
    "OrderMatch",
    "OrderNotFound",
    "OrderStatus",
    "OrdersCancellation",
    "OtherDeployment",
    "OutputFile",
    "Panel",
    "PaymentFailed",
    "PaymentService",
    "Ping",
    "PingAnswer",
    "PingStore",
    "Policy",
    "PolicyNotFound",
    "PolicyWarning",
    "PriceExceedsBudget",
    "PriceLevel",
    "PriceStatistics",
    "Priority",
    "ProcessReading",
    "ProofMismatch",
    "Provider",
    "ProviderCancellation",
    "ProviderReliability",
    "Quote",
    "Refused",
    "Rejection",
    "RejectionCode",
    "Relaxation",
    "RelayRequest",
    "Relayer",
    "Reservation",
    "ReservationLapsed",
    "ResultMismatch",
    "Retries",
    "Role",
    "RoleHolder",
    "Ruling",
    "RulingVote",
    "ScorePart",
    "ScoreWeights",
    "SealingKey",
    "SendingLimits",
    "ServerError",
    "ServerUnreachable",
    "SettlementQuote",
    "SettlementResult",
    "SettlementStatus",
    "Side",
    "SignatureError",
    "Signer",
    "SplitAgreement",
    "SqlJournal",
    "StopRequest",
    "StorageUnavailable",
    "SystemClock",
    "TdxEvidence",
    "TeeOutcome",
    "TeeVerdict",
    "Terms",
    "TimeInForce",
    "Token",
    "TokenMismatch",
    "TokenSpec",
    "TooManyDocuments",
    "TooManyRequests",
    "TooManyReservations",
    "TooManySubscriptions",
    "Trade",
    "TransactionDropped",
    "TransactionFailed",
    "TransactionId",
    "TransactionPending",
    "TransactionReceipt",
    "TransactionRejected",
    "TransactionUnderpriced",
    "UnattestedClaim",
    "Unfinalised",
    "UnknownModel",
    "UnsignedOffer",
    "UnsignedOrder",
    "UnsuitableToken",
    "UsageLog",
    "Wallet",
    "WalletError",
    "WalletNotFound",
    "Watch",
    "WatchPolicy",
    "Withdrawal",
    "WithdrawalRequest",
    "WrongChain",
    "WrongPassword",
    "WrongSigner",
    "account_deals",
    "account_statement",
    "alert_courier",
    "assemble_proof",
    "connect",
    "countersign",
    "covered_seconds",
    "deal_id",
    "deploy",
    "deploy_panel",
    "examine",
    "follow",
    "gpu_seconds",
    "issue_receipt",
    "job_spec_hash",
    "lay_heartbeats",
    "load_deployment",
    "offer_hash",
    "order_hash",
    "policy_id",
    "quote_default",
    "quote_dispute",
    "quote_ruling",
    "quote_settlement",
    "quote_split",
    "quote_unattested_claim",
    "relayer",
    "result_digest",
    "seal",
    "settle_job",
    "settle_jobs",
    "sign_cancellation",
    "sign_concession",
    "sign_dispute",
    "sign_offer",
    "sign_order",
    "sign_orders_cancellation",
    "sign_receipt",
    "sign_relay_request",
    "sign_ruling",
    "sign_split",
    "sign_stop",
    "sign_unattested_claim",
    "sign_vote",
    "sign_voucher",
    "sign_withdrawal",
    "sign_withdrawal_request",
    "tee_binding",
    "terms_of",
    "verify_dispute",
    "verify_execution",
    "verify_nvidia",
    "verify_offer",
    "verify_order",
    "verify_proof",
    "verify_receipt",
    "verify_receipt_of_agent",
    "verify_relay_request",
    "verify_request",
    "verify_ruling",
    "verify_split",
    "verify_statement",
    "verify_tdx",
    "verify_vote",
    "verify_voucher",
    "verify_webhook",
]

_HOMES = {
    "alerts.courier": "Courier Retries",
    "alerts.kinds": "Alert AlertKind",
    "alerts.watch": "AlertLimits",
    "alerts.webhooks": "SendingLimits verify_webhook",
    "app": "account_deals account_statement alert_courier connect follow relayer",
    "attestation.receipts": "assemble_proof countersign issue_receipt",
    "attestation.evidence": "EvidenceContent EvidenceFindings HeartbeatInLog examine lay_heartbeats",
    "attestation.tee": "TdxEvidence TeeOutcome TeeVerdict tee_binding verify_nvidia verify_tdx",
    "attestation.usage": "GpuReading Heartbeat ProcessReading UsageLog covered_seconds",
    "attestation.verdict": "verify_proof",
    "attestation.verifier": "RejectionCode verify_execution verify_receipt_of_agent",
    "chain.client": "MoltClient",
    "chain.deploy": "deploy",
    "chain.deployments": "Deployment load_deployment",
    "chain.networks": "Network",
    "chain.panel": "Panel deploy_panel",
    "chain.plans": "TokenSpec",
    "domain.agreements": (
        "Concession ProviderCancellation Ruling RulingVote SplitAgreement StopRequest UnattestedClaim"
    ),
    "domain.amounts": "Amount MOLT Token",
    "domain.balances": "Balances",
    "domain.clock": "Clock SystemClock",
    "domain.deals": "DealStatus EscrowAccount EscrowState",
    "domain.disputes": "Dispute DisputeOutcome DisputeReason DisputeResolution",
    "domain.endings": (
        "ContestQuote quote_default quote_dispute quote_ruling quote_split quote_unattested_claim"
    ),
    "domain.evidence": "Evidence",
    "domain.gpus": "Feature GpuCapacity Location",
    "domain.ids": "Address DisputeId EscrowId Hash32 OfferId OrderId TransactionId",
    "domain.jobs": "Access HandOver HandOverAnswer InputFile JobKind JobLimits JobResult JobSpec OutputFile",
    "domain.matches": "OrderMatch ScorePart",
    "domain.offers": "CapacityOffer OfferStatus",
    "domain.orders": "JobOrder JobRequirements OrderStatus Priority TimeInForce",
    "domain.pings": "Gateway Ping PingAnswer Rejection",
    "domain.policies": "Policy",
    "domain.proofs": "Attestation Confirmation ExecutionProof",
    "domain.relays": "RelayRequest",
    "domain.requests": "OrdersCancellation Side Withdrawal WithdrawalRequest",
    "domain.roles": "EscrowConfig Role RoleHolder",
    "domain.settlement": (
        "JobSettlementInput SettlementQuote SettlementResult SettlementStatus gpu_seconds quote_settlement"
    ),
    "domain.terms": "Terms",
    "domain.transactions": "TransactionReceipt",
    "indexer.follower": "Follower",
    "indexer.reliability": "ProviderReliability",
    "orderbook.book": "OrderBook",
    "orderbook.explain": "Explanation",
    "orderbook.fills": "Execution Fill",
    "orderbook.market_data": "BestPrice Depth PriceLevel PriceStatistics Trade",
    "orderbook.quote": "Quote",
    "orderbook.relaxations": "Relaxation",
    "orderbook.reservations": "Reservation",
    "orderbook.scoring": "ScoreWeights",
    "sdk.attestor": "Attestor",
    "sdk.buyer": "Buyer",
    "sdk.provider": "Provider",
    "sdk.watch": "Look MemoryPings PingStore Watch WatchPolicy",
    "sdk.api": "MarketApi",
    "sdk.asynchronous": "AsyncAttestor AsyncBuyer AsyncMarketApi AsyncProvider",
    "payments.asynchronous": "AsyncPaymentService",
    "payments.fees": "FeePolicy",
    "payments.gas": "GasBudget GasPolicy",
    "payments.journal": "Journal MemoryJournal",
    "payments.keeper": "Keeper",
    "payments.parts": "FailedPart OpenedParts",
    "payments.relayer": "Relayer",
    "payments.service": "PaymentService",
    "payments.settlement": "settle_job settle_jobs",
    "signing.agreements": (
        "sign_cancellation sign_concession sign_dispute sign_ruling sign_split sign_stop"
        " sign_unattested_claim sign_vote"
        " verify_dispute verify_ruling verify_split verify_statement verify_vote"
    ),
    "signing.hashes": ("deal_id job_spec_hash offer_hash order_hash policy_id result_digest terms_of"),
    "signing.relays": "sign_relay_request verify_relay_request",
    "signing.requests": "sign_orders_cancellation sign_withdrawal sign_withdrawal_request verify_request",
    "signing.sealing": "SealingKey seal",
    "signing.signers": "ApprovingSigner LocalSigner Signer",
    "signing.statements": (
        "sign_offer sign_order sign_receipt sign_voucher verify_offer verify_order"
        " verify_receipt verify_voucher"
    ),
    "signing.typed_data": "Domain",
    "signing.wallet": "Wallet",
    "storage.database": "Database",
    "storage.journal": "SqlJournal",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"molt_market.{home}"), name)
    globals()[name] = value  # the next time it is just there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
