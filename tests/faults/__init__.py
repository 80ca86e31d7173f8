"""Fault injection with real processes: a stack, a load that records its history, and a checker over both."""
