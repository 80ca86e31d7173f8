"""What can go wrong with the stack; each message is one sentence a person can act on."""


class StackError(Exception):
    """A part of the stack cannot be started."""


class PortTaken(StackError):
    """Something else listens on the port that was asked for."""


class AlreadyRunning(StackError):
    """Another run, still alive, owns the folder."""


class JarsMissing(StackError):
    """Apache Kafka's jars are not there and cannot be fetched."""
