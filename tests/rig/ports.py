"""Free ports of 127.0.0.1."""

import random
import socket

# Below the range the kernel hands to outgoing connections: while a killed server is away, no
# client can be given its port, so it can always come back on it.
RANGE = range(20_000, 32_000)


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports nobody listens on."""
    candidates = random.SystemRandom().sample(RANGE, k=len(RANGE))
    found: list[int] = []
    while len(found) < count:
        port = candidates.pop()
        if _is_free(port):
            found.append(port)
    return tuple(found)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
