"""The compiled part of the compiled index: rows are put in, taken out and looked through here.

Compiled by numba when first called, and kept beside its file (or where NUMBA_CACHE_DIR says) for the next
process. numba compiles anew what is in a file that has changed, but not what calls it from another one: who
changes a file of these removes what was kept. Integers only; unsigned and signed ones never meet in one
expression, which numba would turn into floats.
"""
