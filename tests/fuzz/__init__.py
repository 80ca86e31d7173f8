"""Fuzzing: bytes of any kind into the parts that read what callers and Kafka send.

`targets.py` has the functions that are fuzzed. `make fuzz` runs them under atheris, a million inputs each. The tests
run them without atheris, over the corpus and a few thousand mutations of it.
"""
