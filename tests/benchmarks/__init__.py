"""The benchmarks: this service beside the version before and what people would otherwise pick, in one run.

docs/performance.md has the tables. `__main__` reads the options, `cases/` says what is measured, `servers` and `before`
start all sides, `environment` makes what they need, `load` and `wrk.lua` ask, `table` has the targets,
`measure` takes the figures, `check`, `database` and `topics` hold what is there afterwards against what was answered.
`peers/` are the other services; they run in an environment of their own and know nothing of this one.
"""
