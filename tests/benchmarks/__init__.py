"""The benchmarks: this service beside what people would otherwise pick, in one run; docs/performance.md has the table.

`__main__` reads the options, `cases/` says what is measured, `servers` starts both sides, `load` and `wrk.lua` ask,
`measure` takes the figures, `orders` and `topics` hold what is there afterwards against what was answered.
`peers/` are the other services; they run in an environment of their own and know nothing of this one.
"""
