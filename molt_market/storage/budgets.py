"""Gas budgets in a database: what all relayers together have reserved and paid for each account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, select, update

from molt_market.domain.ids import Address, TransactionId
from molt_market.payments.gas import Charge
from molt_market.storage.compiled import insert_unless_there
from molt_market.storage.database import Database
from molt_market.storage.schema import gas_budgets as budgets
from molt_market.storage.schema import gas_charges as charges

NOTHING_YET = {"period": 0, "reserved": 0, "paid": 0}


@dataclass
class _Used:
    """What is used of an account's budget in a period."""

    account: str
    period: int
    used: int


class SqlBudgets:
    """The gas budgets of one deployment; `molt_market.payments.gas.Budgets` says what each method does.

    Who changes what is used locks the payment's row, then those of accounts, until that is written.

    Args:
        database: where they are.
        deployment: names it: `<chain>:<escrow>`, as the facts do.
    """

    def __init__(self, database: Database, deployment: str) -> None:
        self._database = database
        self._deployment = deployment

    def used(self, account: Address, period: int) -> int:
        with self._database.reading() as connection:
            row = connection.execute(select(budgets).where(self._budget(account))).one_or_none()
        return row.used if row is not None and row.period >= period else 0

    def reserve(self, key: str, account: Address, wei: int, *, allowance: int, period: int) -> Charge | None:
        with self._database.writing() as connection:
            row = {"deployment": self._deployment, "key": key, "account": account}
            insert_unless_there(connection, charges, NOTHING_YET | row)
            known = self._charge(connection, key)
            found = {
                each: self._locked(connection, each, period) for each in sorted({account, known.account})
            }
            if known.period == found[known.account].period:
                found[known.account].used -= known.reserved
            mine = found[account]
            if mine.used + wei > allowance:
                return None
            mine.used += wei
            for each in found.values():
                self._write(connection, each)
            charge = Charge(key, uuid4().hex)
            changed = {"account": account, "period": mine.period, "reserved": wei, "holder": charge.holder}
            self._set(connection, key, **changed)
            return charge

    def give_back(self, charge: Charge) -> None:
        with self._database.writing() as connection:
            known = self._charge(connection, charge.key)
            if known is not None and known.holder == charge.holder:
                self._set(connection, charge.key, reserved=0, holder=None)
                self._spend(connection, known, 0)

    def settle(self, key: str, transaction_id: TransactionId, wei: int, *, holder: str | None = None) -> None:
        with self._database.writing() as connection:
            known = self._charge(connection, key)
            if known is None or holder not in {None, known.holder}:  # sent for nobody else, or not by him
                return
            # Who reserved for what another one had sent by then pays nothing, but has to let that go.
            cost = 0 if known.settled_by == transaction_id else wei
            paid = {"paid": known.paid + cost, "settled_by": transaction_id}
            self._set(connection, key, reserved=0, holder=None, **paid)
            self._spend(connection, known, cost)

    def open_charges(self, account: Address) -> list[Charge]:
        mine = (charges.c.deployment == self._deployment) & (charges.c.account == account)
        wanted = select(charges.c.key, charges.c.holder).where(mine, charges.c.holder.is_not(None))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(charges.c.key))
            return [Charge(row.key, row.holder) for row in rows]

    # ---------------------------------------------------------------- inside

    def _budget(self, account: str) -> ColumnElement[bool]:
        return (budgets.c.deployment == self._deployment) & (budgets.c.account == account)

    def _is(self, key: str) -> ColumnElement[bool]:
        return (charges.c.deployment == self._deployment) & (charges.c.key == key)

    def _charge(self, connection: Connection, key: str) -> Any:
        """Lock a charge, and return it; None: there is none. Accounts are locked after it, by their order."""
        return connection.execute(select(charges).where(self._is(key)).with_for_update()).one_or_none()

    def _locked(self, connection: Connection, account: str, period: int = 0) -> _Used:
        """Lock an account's row until the transaction ends. In a later period nothing is used yet."""
        row = {"deployment": self._deployment, "account": account, "period": period, "used": 0}
        insert_unless_there(connection, budgets, row)
        locked = select(budgets).where(self._budget(account)).with_for_update()
        known = connection.execute(locked).one()
        return _Used(account, *((period, 0) if period > known.period else (known.period, known.used)))

    def _spend(self, connection: Connection, charge: Row[Any], wei: int) -> None:
        """Use so much instead of what was reserved, unless that was in an earlier period."""
        budget = self._locked(connection, charge.account)
        if charge.period == budget.period:
            budget.used += wei - charge.reserved
            self._write(connection, budget)

    def _write(self, connection: Connection, budget: _Used) -> None:
        values = {"period": budget.period, "used": budget.used}
        connection.execute(update(budgets).where(self._budget(budget.account)).values(values))

    def _set(self, connection: Connection, key: str, **values: Any) -> None:
        connection.execute(update(charges).where(self._is(key)).values(values))
