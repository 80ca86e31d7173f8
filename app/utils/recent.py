"""Keys that were seen lately, in bounded memory."""

MOST = 10_000


class Recent:
    """Remembers at least the last `most` keys and at most twice as many: two generations, the older one is dropped."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: str) -> None:
        """Remember a key by its hash; two keys of one hash count as one."""
        self._young.add(hash(key))
        if len(self._young) >= self._most:
            self._young, self._old = set(), self._young

    def __contains__(self, key: str) -> bool:
        found = hash(key)
        return found in self._young or found in self._old
