"""Make a query of halmos simpler: equal sums and products become, nearly always, one and the same term.

A balance of 96 bits that grows by an amount of 256 is easy to compare with what it should be if both are sums
of the same terms; as circuits of adders they are not. It runs in .venv-prove.
"""

from collections.abc import Iterable, Iterator
from functools import reduce
from operator import add, mul, sub

import z3

PRODUCT, QUOTIENT = "f_evm_bvmul_256", "f_evm_bvudiv_256"  # halmos leaves them open
SUMS = {z3.Z3_OP_BADD: add, z3.Z3_OP_BSUB: sub, z3.Z3_OP_BMUL: mul}


def simplified(text: str) -> str:
    """Return the same query in simpler terms."""
    assertions = _decided(list(z3.parse_smt2_string(text)))
    assertions = _all_rewritten(assertions, products=False)
    assertions = _all_rewritten(assertions, products=True)  # by now one factor is written in one way
    assertions = _all_rewritten(_replaced(assertions), products=True)
    solver = z3.Solver()
    solver.add(*assertions)
    return f"(set-logic QF_AUFBV)\n{solver.to_smt2()}"


def _decided(assertions: list[z3.BoolRef]) -> list[z3.BoolRef]:
    """Write true or false for what is asserted wherever it is asked again, as in a branchless minimum."""
    facts = [(each, _fact(each)) for each in assertions]
    asked = {each.get_id() for _, (term, _) in facts for each in _within(term.children()) if z3.is_bool(each)}
    used = [(source, fact) for source, fact in facts if fact[0].get_id() in asked]
    return [
        z3.substitute(each, *[fact for source, fact in used if not source.eq(each)]) for each in assertions
    ]


def _fact(assertion: z3.BoolRef) -> tuple[z3.ExprRef, z3.BoolRef]:
    if z3.is_not(assertion):
        return assertion.arg(0), z3.BoolVal(val=False)
    return assertion, z3.BoolVal(val=True)


def _within(terms: Iterable[z3.ExprRef]) -> Iterator[z3.ExprRef]:
    """Yield these terms, and all within them, each of them once."""
    waiting, seen = list(terms), set[int]()
    while waiting:
        each = waiting.pop()
        if each.get_id() not in seen:
            seen.add(each.get_id())
            waiting += each.children()
            yield each


def _replaced(assertions: list[z3.BoolRef]) -> list[z3.BoolRef]:
    """Write for an open quotient the sum that it is asserted to be: a sum's low bits are a sum as well."""
    for at in range(len(assertions)):
        if same := _quotient_and_sum(assertions[at]):
            assertions = [
                each if here == at else z3.substitute(each, same) for here, each in enumerate(assertions)
            ]
    return assertions


def _quotient_and_sum(assertion: z3.BoolRef) -> tuple[z3.ExprRef, z3.ExprRef] | None:
    if z3.is_eq(assertion):
        one, other = assertion.children()
        for quotient, rest in ((one, other), (other, one)):
            if quotient.decl().name() == QUOTIENT and not any(each.eq(quotient) for each in _within([rest])):
                return quotient, rest
    return None


def _all_rewritten(assertions: list[z3.BoolRef], *, products: bool) -> list[z3.BoolRef]:
    done: dict[int, z3.ExprRef] = {}
    return [z3.simplify(_rewritten(each, done, products=products)) for each in assertions]


def _rewritten(term: z3.ExprRef, done: dict[int, z3.ExprRef], *, products: bool) -> z3.ExprRef:
    """Rewrite a term from its leaves up; `done` has, by their ids, the terms that are rewritten."""
    waiting = [term]
    while waiting:
        each = waiting[-1]
        missing = [child for child in each.children() if child.get_id() not in done]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        children = [done[child.get_id()] for child in each.children()]
        if products and each.decl().name() == PRODUCT:
            done[each.get_id()] = _product(*children)
        else:
            done[each.get_id()] = _truncated(_doubled(each.decl()(*children) if children else each))
    return done[term.get_id()]


def _product(one: z3.ExprRef, other: z3.ExprRef) -> z3.ExprRef:
    """Return an open product, but for factors of 0 and 1: the same one whatever the order of its factors.

    The longer one comes last: one factor may be written in two ways, which differ less than two factors.
    """
    factors = z3.simplify(one), z3.simplify(other)
    x, y = sorted(factors, key=lambda factor: (len(factor.sexpr()), factor.get_id()))
    word = z3.BitVecSort(256)
    rest = z3.Function("f_evm_bvmul_open", word, word, word)(x, y)
    for factor, value, result in ((y, 1, x), (x, 1, y), (y, 0, y), (x, 0, x)):
        rest = z3.If(factor == value, result, rest)
    return rest


def _truncated(term: z3.ExprRef) -> z3.ExprRef:
    """Return the low bits of a sum as the sum of low bits: balances are narrower than amounts."""
    if not z3.is_app_of(term, z3.Z3_OP_EXTRACT) or term.params()[1] != 0:
        return term
    whole, high = term.arg(0), term.params()[0]
    operator = SUMS.get(whole.decl().kind())
    if operator is None:
        return term
    return reduce(operator, [_truncated(z3.Extract(high, 0, part)) for part in whole.children()])


def _doubled(term: z3.ExprRef) -> z3.ExprRef:
    """Return what is shifted to the left as a product: a shifted sum is one of products."""
    if not z3.is_app_of(term, z3.Z3_OP_CONCAT):
        return term
    high, *low = term.children()
    if len(low) != 1 or not z3.is_bv_value(low[0]) or low[0].as_long() != 0:
        return term
    return _widened(high, term.size()) * (1 << low[0].size())


def _widened(term: z3.ExprRef, size: int) -> z3.ExprRef:
    """Return a longer term that has the same low bits: what is above them is to be shifted out."""
    operator = SUMS.get(term.decl().kind())
    if operator is not None:
        return reduce(operator, [_widened(part, size) for part in term.children()])
    if z3.is_app_of(term, z3.Z3_OP_EXTRACT) and term.params()[1] == 0 and term.arg(0).size() >= size:
        return z3.Extract(size - 1, 0, term.arg(0))
    return z3.SignExt(size - term.size(), term)
