"""What only a person may decide, and what a person looks at: the same functions for the command line and a console.

Every function takes the settings, or the Operator whose name the audit lines have, and returns values. Each commits
its change together with its audit line, blocks for some seconds at the longest where its docstring says nothing else,
and raises OperationFailed (app/models/operator_errors.py) with one sentence for a person.
"""
