"""Are the simpler queries of terms.py still true of all that the queries are true of?

Random conditions on random numbers are made, all of them true; what they are rewritten to must be true of
the same numbers, with exact products for the open ones. Otherwise a solver could find nothing where there is
a counterexample. That this would be noticed is seen with rules that are broken one after the other.
prove.py runs it first, in .venv-prove.
"""

import random
import sys
from collections.abc import Callable

import z3

from scripts.make import terms

QUERIES = 100
SEED = 20_260
WIDE, NARROW = 256, 96
NUMBERS = {WIDE: "abcd", NARROW: "pq"}

product, quotient, open_product = (
    z3.Function(name, *[z3.BitVecSort(WIDE)] * 3)
    for name in (terms.PRODUCT, terms.QUOTIENT, "f_evm_bvmul_open")
)
x, y = (z3.Var(n, z3.BitVecSort(WIDE)) for n in (0, 1))
EXACT = [(product, x * y), (open_product, x * y), (quotient, z3.UDiv(x, y))]

quotient_and_sum = terms._quotient_and_sum  # noqa: SLF001 - broken below


def more_by_one(same: tuple[z3.ExprRef, z3.ExprRef] | None) -> tuple[z3.ExprRef, z3.ExprRef] | None:
    return same and (same[0], same[1] + 1)


BROKEN: dict[str, Callable[..., z3.ExprRef]] = {
    "_product": lambda x, y: z3.If(x == 1, y, z3.BitVecVal(0, WIDE)),  # other factors count too
    "_fact": lambda assertion: (assertion, z3.BoolVal(val=False)),  # the opposite of what is asserted
    "_widened": lambda term, size: z3.ZeroExt(size - term.size(), term + 1),
    "_quotient_and_sum": lambda assertion: more_by_one(quotient_and_sum(assertion)),
    "_truncated": lambda term: z3.BitVecVal(0, term.size()) if z3.is_app_of(term, z3.Z3_OP_EXTRACT) else term,
}


class Query:
    """Random conditions, each turned so that it is true of the numbers."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.numbers = [
            (z3.BitVec(name, width), z3.BitVecVal(self._number(width), width))
            for width, names in NUMBERS.items()
            for name in names
        ]
        asked = [self._condition(2) for _ in range(3)]
        self._asked = asked  # these are asked again within the next ones
        self.conditions = [self._true(each) for each in asked + [self._condition(3) for _ in range(4)]]
        self.conditions += [self._same() for _ in range(2)]

    def text(self) -> str:
        solver = z3.Solver()
        solver.add(*self.conditions)
        return str(solver.to_smt2())

    def value(self, term: z3.ExprRef) -> z3.ExprRef:
        return z3.simplify(z3.substitute(z3.substitute_funs(term, *EXACT), *self.numbers))

    def _true(self, condition: z3.BoolRef) -> z3.BoolRef:
        return condition if z3.is_true(self.value(condition)) else z3.Not(condition)

    def _same(self) -> z3.BoolRef:
        """Return of a quotient which sum it is."""
        one, other = quotient(self._term(WIDE, 1), self._term(WIDE, 1)), self._term(WIDE, 2)
        return one == other + self.value(one - other)

    def _number(self, width: int) -> int:
        choices: list[int] = [0, 1, 2, 10_000, self._chance.getrandbits(width), 2**width - 1]
        return self._chance.choice(choices)

    def _condition(self, depth: int) -> z3.BoolRef:
        asked = getattr(self, "_asked", [])
        if asked and self._chance.random() < 1 / 3:
            return self._chance.choice(asked)
        width = self._chance.choice((WIDE, NARROW))
        compare = self._chance.choice((z3.ULE, z3.ULT, lambda x, y: x == y))
        return compare(self._term(width, depth), self._term(width, depth))

    def _term(self, width: int, depth: int) -> z3.BitVecRef:
        if not depth or self._chance.random() < 1 / 5:
            name = self._chance.choice(NUMBERS[width])
            return self._chance.choice([z3.BitVec(name, width), z3.BitVecVal(self._number(width), width)])
        x, y = self._term(width, depth - 1), self._term(width, depth - 1)
        made = [x + y, x - y, z3.If(self._condition(depth - 1), x, y)]
        if width == WIDE:
            narrow = self._term(NARROW, depth - 1)
            made += [
                product(x, y),
                z3.UDiv(x, y),
                quotient(x, y),
                z3.ZeroExt(WIDE - NARROW, narrow),
                z3.simplify((x + y) << 1),
            ]
        else:
            wide = self._term(WIDE, depth - 1)
            made += [
                z3.Extract(NARROW - 1, 0, wide + self._term(WIDE, depth - 1)),
                z3.Extract(NARROW - 1, 0, wide),
            ]
        return self._chance.choice(made)


def is_kept(query: Query) -> bool:
    """Tell whether what was true of the numbers is true of them in simpler terms."""
    return all(z3.is_true(query.value(each)) for each in z3.parse_smt2_string(terms.simplified(query.text())))


def lost() -> int:
    """Return at which query something was not true any more, 0 if at none."""
    chance = random.Random(SEED)
    return next((n for n in range(1, QUERIES + 1) if not is_kept(Query(chance))), 0)


def main() -> int:
    if at := lost():
        print(f"NO: simpler terms are not true any more of what query {at} is true of")
        return 1
    for name, broken in BROKEN.items():
        rule = getattr(terms, name)
        setattr(terms, name, broken)
        if not lost():
            print(f"NO: {QUERIES} queries did not notice that {name} is broken")
            return 1
        setattr(terms, name, rule)
    print(f"ok: {QUERIES} queries are true in simpler terms, {len(BROKEN)} broken rules were noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
