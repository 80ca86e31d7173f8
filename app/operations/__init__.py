"""What only a person may decide, and what a person looks at: the same functions for the command line and a console.

A function that only looks takes the settings. A function that changes something takes the Operator, whose name goes
into the audit line, and commits the change together with that line. Each blocks for some seconds at the longest if its
docstring says nothing else, and raises OperationFailed (app/models/operator_errors.py) with one sentence for a person.
"""
