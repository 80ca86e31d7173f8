"""Every exception that an operator can meet.

    OperationFailed           what was asked for was not done
    ├── NotFound              there is no such thing
    ├── NotPossible           what is stored, or what was given, does not allow it
    ├── DatabaseUnusable      PostgreSQL is away, busy or refuses
    └── KafkaUnusable         no broker answers in time, or none about this topic

Nothing was changed, but where PostgreSQL was lost in a commit, which nobody knows the end of, and where the sentence of
KafkaUnusable says that a record may have been sent.
"""


class OperationFailed(Exception):
    """`str()` is one sentence for a person that says why."""


class NotFound(OperationFailed):
    """There is no such thing."""


class NotPossible(OperationFailed):
    """What is stored, or what was given, does not allow it."""


class DatabaseUnusable(OperationFailed):
    """PostgreSQL is away, busy or refuses."""


class KafkaUnusable(OperationFailed):
    """No broker answers in time, or none about this topic."""
