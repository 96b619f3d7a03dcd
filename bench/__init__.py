"""Measurements against what people would write or take instead, in one run and interleaved, so that ratios mean something.

`python -m bench [SCENARIO ...] [--quick]`. A scenario is a module with `run(quick: bool) -> Result`. Only whole runs are kept: in
bench/results/ and in the tables of docs/benchmarks.md.
"""
