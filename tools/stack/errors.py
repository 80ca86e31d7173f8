"""The errors of the stack; each message is one sentence that a person can act on."""


class StackError(Exception):
    """A part of the stack cannot be started."""


class PortTaken(StackError):
    """Another program listens on the port."""


class AlreadyRunning(StackError):
    """Another run, which is still alive, owns the folder."""


class JarsMissing(StackError):
    """Apache Kafka's jars are missing and cannot be fetched."""
