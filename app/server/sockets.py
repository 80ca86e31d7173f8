"""How much of an answer the kernel holds.

By default the kernel buffers megabytes per socket and reports room a megabyte at a time. A slow client would look like
a client that takes nothing, and a client that takes nothing would cost megabytes of kernel memory.
"""

import fcntl
import socket
import struct
import termios

MAX_UNSENT = 64 * 1024

_NOT_SENT_LIMIT = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def bound_unsent(peer: socket.socket) -> None:
    """Limit what the kernel buffers of an answer and has not sent."""
    if _NOT_SENT_LIMIT is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LIMIT, MAX_UNSENT)


def unsent(peer: socket.socket) -> int:
    """Return the bytes that the client's system has not acknowledged; 0 where ours does not tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0
