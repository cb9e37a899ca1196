"""Answer one query of halmos: `solver.py FILE` prints sat or unsat. It runs in .venv-prove.

Halmos leaves products and quotients open at first, and asks again with their exact definitions if a
counterexample depends on them. Mostly it is enough to know what is added here: a factor of 0 or 1, which
OpenZeppelin's branchless `min` multiplies by, and that factors change places. Yices is quick then; where it
is not, terms.py makes the query simpler. Exact products of 256 bits are too hard for solvers of bit-vectors:
cvc5 takes them over the integers.
"""

import subprocess
import sys
from pathlib import Path

import cvc5

YICES = Path(sys.executable).with_name("yices-smt2")
QUICK, SOME, LONG = 2, 20, 60  # seconds
CVC5_OPTIONS = {"solve-bv-as-int": "sum", "produce-models": "true", "tlimit-per": "90000"}

PRODUCT = "f_evm_bvmul_256"
OPEN = f"(declare-fun {PRODUCT} ((_ BitVec 256) (_ BitVec 256)) (_ BitVec 256))"
KNOWN = """
(declare-fun f_evm_bvmul_open ((_ BitVec 256) (_ BitVec 256)) (_ BitVec 256))
(define-fun f_evm_bvmul_256 ((x (_ BitVec 256)) (y (_ BitVec 256))) (_ BitVec 256)
  (ite (= x (_ bv0 256)) x (ite (= y (_ bv0 256)) y
  (ite (= x (_ bv1 256)) y (ite (= y (_ bv1 256)) x PRODUCT)))))
"""
ORDERED = "(f_evm_bvmul_open x y)"
COMMUTING = "(ite (bvule x y) (f_evm_bvmul_open x y) (f_evm_bvmul_open y x))"  # rarely needed, and slower


def main(file: Path) -> str:
    text = file.read_text("utf-8")
    query = file.with_suffix(".known.smt2")
    for product in (ORDERED, COMMUTING) if OPEN in text else (ORDERED,):
        query.write_text(text.replace(OPEN, KNOWN.replace("PRODUCT", product)), "utf-8")
        answer = ask_yices(query, QUICK)
        if answer.startswith("unsat") or (answer.startswith("sat") and OPEN not in text):
            return answer
    from scripts.make.terms import simplified  # noqa: PLC0415 - not all queries need it, and z3 loads slowly

    simple = file.with_suffix(".simple.smt2")
    simple.write_text(simplified(text), "utf-8")
    if ask_yices(simple, SOME).startswith("unsat"):
        return "unsat"
    if not answer.startswith("sat"):
        answer = ask_yices(query, LONG)  # what is simpler is not always quicker
    return answer if answer.startswith(("sat", "unsat")) else ask_cvc5(query)


def ask_yices(query: Path, seconds: int) -> str:
    options = ["--smt2-model-format", "--bvconst-in-decimal", f"--timeout={seconds}"]
    done = subprocess.run([YICES, *options, query], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def ask_cvc5(query: Path) -> str:
    solver = cvc5.Solver(cvc5.TermManager())
    for option, value in CVC5_OPTIONS.items():
        solver.setOption(option, value)
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, str(query))
    symbols = parser.getSymbolManager()
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(solver, symbols)
    return answer.strip()


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
