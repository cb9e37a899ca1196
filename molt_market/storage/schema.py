"""The tables. After a change: a new file in migrations/versions (a test compares them).

A chain is written `<chain id>:<hash of its first block>`: a local chain that starts anew is another one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from molt_market.storage.types import Uint, UtcTime

VERSION = "0011"  # the newest file in migrations/versions (a test compares them)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

CHAIN = String(100)
ADDRESS = String(42)
HASH = String(66)
BIG = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts itself up there

# ---------------------------------------------------------------- the journal of payments

accounts = Table(
    "accounts",
    metadata,
    Column("chain", CHAIN, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    comment="Whose nonces are given out here. Who takes one locks the account's row.",
)

dispatches = Table(
    "dispatches",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("chain", CHAIN, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("call_to", ADDRESS),
    Column("call_data", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("mined", HASH),
    Column("block", BigInteger),
    Index(
        "uq_dispatches_nonce",
        "chain",
        "sender",
        "nonce",
        unique=True,
        sqlite_where=text("state <> 'dropped'"),
        postgresql_where=text("state <> 'dropped'"),
    ),
    comment="One nonce of an account each; what was signed for it is in transactions.",
)

transactions = Table(
    "transactions",
    metadata,
    Column("dispatch_id", BIG, ForeignKey("dispatches.id"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="0: the first that was signed for the nonce"),
    Column("hash", HASH, nullable=False, index=True),
    Column("gas", BigInteger, nullable=False),
    Column("fee_most", Uint, nullable=False, comment="wei for each unit of gas"),
    Column("fee_tip", Uint, nullable=False, comment="wei for each unit of gas"),
    Column("raw", LargeBinary, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("chain", CHAIN, nullable=False),
    Column("key", String(300), nullable=False),
    Column("deal_id", HASH, comment="that it is about"),
    Column("planned_at", UtcTime, nullable=False),
    Column("note", Text, nullable=False),
    Column("buyer", ADDRESS, comment="of an opening"),
    Column("slot", Uint, comment="of an opening: the order's"),
    Column("order_id", String(128), comment="of an opening"),
    Column("order", Text, comment="of an opening: the signed order, as JSON"),
    Column("offer_id", String(300), comment="of an opening"),
    Column("dispatch_id", BIG, ForeignKey("dispatches.id"), index=True),
    Column("first_item", Integer, nullable=False, comment="its first place in the batch that carries it"),
    Column("items", Integer, nullable=False),
    Column("failure", Text),
    UniqueConstraint("chain", "key"),
    Index("ix_entries_buyer", "chain", "buyer"),
    Index("ix_entries_deal_id", "chain", "deal_id"),
    comment="One payment each.",
)

# ---------------------------------------------------------------- what was followed of the chain's log

DEPLOYMENT = String(150)  # `<chain>:<escrow>`
SECOND = BigInteger  # since 1970, as the chain tells time

cursors = Table(
    "cursors",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("number", BigInteger, comment="of the last block that was followed"),
    Column("hash", HASH),
    Column("time", SECOND),
    comment="How far each log was followed. Who goes on, or back, locks the row.",
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", HASH, nullable=False),
    Column("time", SECOND, nullable=False),
    comment="Blocks that may be gone back to.",
)

events = Table(
    "events",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("time", SECOND, nullable=False),
    Column("name", String(40), nullable=False),
    Column("deal_id", HASH),
    Column("event", Text, nullable=False, comment="all of it, as JSON"),
    Index("ix_events_deal_id", "deployment", "deal_id"),
    comment="The escrow's log.",
)

deals = Table(
    "deals",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("buyer", ADDRESS, nullable=False),
    Column("voucher_signer", ADDRESS, nullable=False),
    Column("provider", ADDRESS, nullable=False),
    Column("agent", ADDRESS, nullable=False),
    Column("price_per_gpu_hour", Uint, nullable=False, comment="base units"),
    Column("gpu_count", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False, comment="seconds"),
    Column("commitment", BigInteger, nullable=False, comment="seconds"),
    Column("slot", Uint, nullable=False, comment="of the offer"),
    Column("policy_id", HASH, nullable=False),
    Column("order_hash", HASH, nullable=False),
    Column(
        "status", Integer, nullable=False, comment="1 locked, 2 claimed, 3 disputed, 4 released, 5 refunded"
    ),
    Column("flags", Integer, nullable=False, comment="1 excused, 2 attested, 4 stopped"),
    Column("fee_bps", Integer, nullable=False),
    Column("bond_bps", Integer, nullable=False),
    Column("opened_at", SECOND, nullable=False),
    Column("ends_at", SECOND, nullable=False),
    Column("deadline", SECOND, nullable=False),
    Column("paid", BigInteger, nullable=False, comment="GPU-seconds"),
    Column("claim", BigInteger, nullable=False, comment="GPU-seconds"),
    Column("notice_minutes", Integer, nullable=False),
    Column("to_provider", Uint, nullable=False, comment="base units that have gone out"),
    Column("fee", Uint, nullable=False, comment="base units that have gone out"),
    Column("to_buyer", Uint, nullable=False, comment="base units that have gone out"),
    Column("share", Uint, nullable=False, comment="base units: the arbiter's"),
    Column("stake", Uint, nullable=False, comment="base units: the buyer's, in a dispute"),
    Column("opened_by", HASH, nullable=False, comment="transaction"),
    Column("closed_by", HASH, comment="transaction"),
    Column("closed_at", SECOND),
    Index("ix_deals_deadline", "deployment", "status", "deadline"),
    Index("ix_deals_closed_at", "deployment", "closed_at"),
    Index("ix_deals_buyer", "deployment", "buyer", "deal_id"),
    Index("ix_deals_voucher_signer", "deployment", "voucher_signer", "deal_id"),
    Index("ix_deals_provider", "deployment", "provider", "deal_id"),
    Index("ix_deals_agent", "deployment", "agent", "deal_id"),
    comment="Every deal as it stands: what its events come to.",
)

# ---------------------------------------------------------------- the market: what was posted, who holds what

GPUS = BigInteger

feeds = Table(
    "feeds",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("last", BigInteger, nullable=False, comment="sequence number; who counts on locks the row"),
)

feed = Table(
    "feed",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time", SECOND, nullable=False),
    Column("offer_id", HASH, comment="the offer that was posted"),
    Column("order_id", HASH, comment="the order that was posted"),
    Column("update", Text, comment="what else happened, as JSON"),
    comment="Every step of the market, without a gap. What was posted is written once, in its own table.",
)

offers = Table(
    "offers",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("offer_id", HASH, primary_key=True, comment="its EIP-712 hash"),
    Column("provider", ADDRESS, nullable=False),
    Column("slot", Uint, nullable=False),
    Column("posted_at", SECOND, nullable=False),
    Column("expires_at", SECOND, nullable=False),
    Column("stands", Boolean, nullable=False, comment="in the book"),
    Column("gpu_model", String(100), nullable=False),
    Column("features", BigInteger, nullable=False, comment="the contract's mask"),
    Column("price_per_gpu_hour", Uint, nullable=False, comment="base units"),
    Column("offer", Text, nullable=False, comment="the signed offer, as JSON"),
    Index("ix_offers_stands", "deployment", "stands", "expires_at"),
    Index(  # holds all of an offer that the book reads ahead
        "ix_offers_prices",
        "deployment",
        "stands",
        "gpu_model",
        "features",
        "price_per_gpu_hour",
        "offer_id",
    ),
    Index("ix_offers_provider", "deployment", "provider", "offer_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("order_id", HASH, primary_key=True, comment="its EIP-712 hash"),
    Column("buyer", ADDRESS, nullable=False),
    Column("slot", Uint, nullable=False),
    Column("posted_at", SECOND, nullable=False),
    Column("expires_at", SECOND, nullable=False),
    Column("rests", Boolean, nullable=False, comment="waits in the book; else it came for one match"),
    Column("state", String(16), nullable=False, comment="pending, matched, opened, cancelled, expired"),
    Column("order", Text, nullable=False, comment="the signed order, as JSON"),
    Index(
        "uq_orders_slot",
        "deployment",
        "buyer",
        "slot",
        unique=True,
        sqlite_where=text("state IN ('matched', 'opened')"),
        postgresql_where=text("state IN ('matched', 'opened')"),
    ),
    Index("ix_orders_state", "deployment", "state", "expires_at"),
    Index("ix_orders_buyer", "deployment", "buyer", "order_id"),
)

pools = Table(
    "pools",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("provider", ADDRESS, primary_key=True),
    Column("slot", Uint, primary_key=True),
    Column("held", GPUS, nullable=False, comment="GPUs, by reservations and by locked deals"),
    comment="The GPUs that the offers of one slot share. Who takes some changes `held` if they are free.",
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("deployment", DEPLOYMENT, nullable=False),
    Column("deal_id", HASH, nullable=False, comment="of the deal that the match opens"),
    Column("order_id", HASH, nullable=False),
    Column("offer_id", HASH, comment="unknown of a deal that came another way"),
    Column("buyer", ADDRESS, nullable=False),
    Column("provider", ADDRESS, nullable=False),
    Column("slot", Uint, nullable=False),
    Column("gpu_count", GPUS, nullable=False),
    Column("until", SECOND, nullable=False),
    Column("state", String(16), nullable=False, comment="held, opened, freed, released, lapsed, cancelled"),
    Column("opened_at", SECOND),
    UniqueConstraint("deployment", "deal_id"),
    Index("ix_reservations_state", "deployment", "state", "until"),
    Index("ix_reservations_buyer", "deployment", "buyer", "state"),
    Index("ix_reservations_order_id", "deployment", "order_id"),
    comment="Who holds, or held, which GPUs: one row for each deal that a match was to open.",
)

documents = Table(
    "documents",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="counts the deal's up from 1"),
    Column("digest", HASH, nullable=False, comment="of the whole document"),
    Column("kind", String(16), nullable=False, comment="of DocumentKind"),
    Column("sender", ADDRESS, nullable=False),
    Column("posted_at", SECOND, nullable=False),
    Column("document", Text, nullable=False, comment="as JSON; a letter's text is sealed"),
    UniqueConstraint("deployment", "deal_id", "digest"),
    comment="What the parties of a deal leave for each other.",
)

# ---------------------------------------------------------------- the gateway of a provider

agent_deals = Table(
    "agent_deals",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("phase", String(16), nullable=False, comment="of HandlingPhase"),
    Column("handling", Text, nullable=False, comment="devices, user, job, result and so on, as JSON"),
    Index("ix_agent_deals_phase", "deployment", "phase"),
    comment="What a gateway does for each of its deals.",
)

agent_heartbeats = Table(
    "agent_heartbeats",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", HASH, nullable=False),
    Column("heartbeat", Text, nullable=False, comment="as JSON"),
    comment="The usage logs: rows are added, and never changed.",
)

agent_documents = Table(
    "agent_documents",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("name", String(32), primary_key=True, comment="what it is: receipt, for example"),
    Column("document", Text, nullable=False, comment="as JSON"),
    Column("number", Integer, comment="that it has at the market; null: it is not there yet"),
    comment="What a gateway leaves at the market: written down first, then posted until it is there.",
)

agent_mail = Table(
    "agent_mail",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="counts the deal's up from 1"),
    Column("digest", HASH, nullable=False, comment="of the whole document"),
    Column("kind", String(16), nullable=False, comment="of DocumentKind"),
    Column("sender", ADDRESS, nullable=False),
    Column("posted_at", SECOND, nullable=False),
    Column("document", Text, nullable=False, comment="as JSON; a letter's text is sealed"),
    UniqueConstraint("deployment", "deal_id", "digest"),
    comment="What lies at a gateway for its deals: handed to the agent, whichever way, or left by him.",
)

# ---------------------------------------------------------------- alerts, and whom they go to

alert_subscriptions = Table(
    "alert_subscriptions",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("deployment", DEPLOYMENT, nullable=False),
    Column("party", ADDRESS, comment="whose alerts; null: the operator's"),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False, comment="signs what is sent there"),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_alert_subscriptions_deployment", "deployment"),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("subscription_id", BIG, ForeignKey("alert_subscriptions.id", ondelete="CASCADE"), nullable=False),
    Column("alert_id", String(200), nullable=False),
    Column("body", Text, nullable=False, comment="as it was found first, and is signed"),
    Column("state", String(16), nullable=False, comment="waiting, delivered, given_up"),
    Column("attempts", Integer, nullable=False, comment="that were made"),
    Column("due_at", UtcTime, nullable=False, comment="not before this"),
    Column("holder", String(32), comment="who is at it"),
    Column("held_until", UtcTime, comment="nobody else takes it before this"),
    Column("created_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime, comment="when it was delivered, or given up"),
    Column("failure", Text, comment="of the last attempt"),
    UniqueConstraint("subscription_id", "alert_id"),
    Index("ix_alert_deliveries_due_at", "state", "due_at"),
    comment="Each alert once for each subscription. Who takes one holds it for a while.",
)

# ---------------------------------------------------------------- gas that is paid for others

gas_budgets = Table(
    "gas_budgets",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("account", ADDRESS, primary_key=True),
    Column("period", BigInteger, nullable=False, comment="that `used` is of"),
    Column("used", Uint, nullable=False, comment="wei: paid or reserved"),
    comment="Who reserves or spends locks the account's row.",
)

gas_charges = Table(
    "gas_charges",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("key", String(300), primary_key=True, comment="of the payment"),
    Column("account", ADDRESS, nullable=False),
    Column("period", BigInteger, nullable=False),
    Column("reserved", Uint, nullable=False, comment="wei; 0: it is settled, or given back"),
    Column("paid", Uint, nullable=False, comment="wei in all, by the receipts"),
    Column("holder", String(32), comment="who reserved it; null: nothing is reserved"),
    Column("settled_by", HASH, comment="the transaction whose cost is in `paid`"),
    Index("ix_gas_charges_account", "deployment", "account", "holder"),
    comment="What each payment cost that was made for another account.",
)

# ---------------------------------------------------------------- what an attestor has seen

attestor_pings = Table(
    "attestor_pings",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("deployment", DEPLOYMENT, nullable=False),
    Column("attestor", ADDRESS, nullable=False),
    Column("deal_id", HASH, nullable=False),
    Column("at", SECOND, nullable=False),
    Column("nonce", HASH, nullable=False),
    Column("answer", Text, comment="the agent's signed answer, as JSON; null: there was none that counts"),
    Column("failure", Text, comment="why it was not answered"),
    Index("ix_attestor_pings_deal_id", "deployment", "attestor", "deal_id", "at"),
    comment="Every ping of each attestor.",
)

attestor_devices = Table(
    "attestor_devices",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("attestor", ADDRESS, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("uuid", String(96), primary_key=True),
    Column("first", SECOND, nullable=False),
    Column("last", SECOND, nullable=False),
    Index("ix_attestor_devices_uuid", "deployment", "attestor", "uuid"),
    comment="Which GPU was in which deal, from when to when, by the logs that were judged.",
)

attestor_verdicts = Table(
    "attestor_verdicts",
    metadata,
    Column("deployment", DEPLOYMENT, primary_key=True),
    Column("attestor", ADDRESS, primary_key=True),
    Column("deal_id", HASH, primary_key=True),
    Column("digest", HASH, primary_key=True, comment="what is signed of the receipt"),
    Column("receipt", Text, nullable=False, comment="the agent's, as JSON"),
    Column("code", String(64), comment="why it is not signed; null: it is signed"),
    Column("text", Text, nullable=False, comment="what was found"),
    Column("judged_at", SECOND, nullable=False),
    Column("posted", Boolean, nullable=False, comment="lies at the market"),
    Index(
        "uq_attestor_verdicts_signed",
        "deployment",
        "attestor",
        "deal_id",
        unique=True,
        sqlite_where=text("code IS NULL"),
        postgresql_where=text("code IS NULL"),
    ),
    comment="What each attestor says of each receipt, written down before: he signs one of a deal.",
)
