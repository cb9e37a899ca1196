"""The token of tests on a chain: `make test` runs them with one of 18 decimals and beside it with one of 6.

A file runs with both where decimals can show something: amounts and what is left of a division, limits of
prices, fees, bonds, deposits, permits, sums as people read them. All others are named here and run with one
of them; which one says nothing, but that both runs take about as long. Where BOTH_TOKENS is set (`make deep`)
every file runs with both, and without a choice of token every file runs.
"""

import os
from pathlib import Path

HERE = Path(__file__).parent
DECIMALS = int(os.environ.get("TOKEN_DECIMALS") or 18)

ONCE = {
    18: """
    contracts/machine/test_machine.py
    contracts/molt_escrow/test_approve.py
    contracts/molt_escrow/test_cancel.py
    contracts/molt_escrow/test_check.py
    contracts/molt_escrow/test_griefing.py
    contracts/molt_escrow/test_multicall.py
    contracts/molt_escrow/test_open_signatures.py
    contracts/molt_escrow/test_roles.py
    contracts/molt_escrow/test_signatures.py
    contracts/molt_escrow/test_views.py
    contracts/panel_arbiter/test_deployment.py
    contracts/panel_arbiter/test_rule.py
    contracts/test_deploy_script.py
    integration/test_agent.py
    integration/test_alerts.py
    integration/test_alerts_http.py
    integration/test_api_fuzz.py
    integration/test_cli.py
    integration/test_cli_devnet.py
    integration/test_cli_doctor.py
    integration/test_cli_relay.py
    integration/test_endings_book.py
    integration/test_endings_once.py
    integration/test_endings_states.py
    integration/test_export.py
    integration/test_faults.py
    integration/test_jobs.py
    integration/test_live_feed.py
    integration/test_openings.py
    integration/test_relays_http.py
    integration/test_reorganisations.py
    integration/test_service_async.py
    integration/test_smoke.py
    integration/test_stuck.py
    integration/test_verify.py
    """,
    6: """
    contracts/molt_escrow/test_constructor.py
    contracts/molt_escrow/test_multicall_gas.py
    contracts/molt_escrow/test_open_times.py
    contracts/molt_escrow/test_pause.py
    contracts/molt_escrow/test_reentry.py
    contracts/molt_escrow/test_register_policy.py
    contracts/molt_escrow/test_request_withdraw.py
    contracts/molt_escrow/test_signed_requests.py
    contracts/molt_escrow/test_stop.py
    contracts/molt_escrow/test_tokens.py
    contracts/molt_escrow/test_wallets.py
    contracts/molt_escrow/test_windows.py
    contracts/molt_token/test_constructor.py
    contracts/molt_token/test_mint.py
    contracts/test_exported_artefacts.py
    contracts/test_payoffs.py
    contracts/test_suitable_token.py
    integration/test_approvals.py
    integration/test_attestor.py
    integration/test_audit.py
    integration/test_backup.py
    integration/test_batches.py
    integration/test_busy_market.py
    integration/test_cli_deal.py
    integration/test_cli_deals.py
    integration/test_cli_keeper.py
    integration/test_cli_market.py
    integration/test_cli_roles.py
    integration/test_deployer.py
    integration/test_direct.py
    integration/test_indexer.py
    integration/test_lying_server.py
    integration/test_migration.py
    integration/test_networks.py
    integration/test_obstacles.py
    integration/test_open_resting.py
    integration/test_recovery.py
    integration/test_relayer.py
    integration/test_service.py
    integration/test_silence.py
    integration/test_states.py
    integration/test_transactions.py
    """,
}
SIDES = {HERE / name: decimals for decimals, names in ONCE.items() for name in names.split()}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what the run with the other token has."""
    if "TOKEN_DECIMALS" not in os.environ or os.environ.get("BOTH_TOKENS"):
        return None
    return True if SIDES.get(collection_path, DECIMALS) != DECIMALS else None
