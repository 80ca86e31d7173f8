"""What the kernel holds of an answer. It tells late that a socket can be written to, a megabyte at a time: without this
a slow client looks like one that takes nothing, and one that takes nothing costs megabytes of the kernel."""

import fcntl
import socket
import struct
import termios

MOST_UNSENT = 64 * 1024

_NOT_SENT_LIMIT = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def bound_unsent(peer: socket.socket) -> None:
    """Let the kernel take no more of an answer than it will soon send."""
    if _NOT_SENT_LIMIT is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LIMIT, MOST_UNSENT)


def unsent(peer: socket.socket) -> int:
    """Return the bytes that the client's side has not acknowledged; 0 where the system does not tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0
