"""Changed copies of kept inputs, drawn from a seed: what atheris does, without its feedback."""

import random
from collections.abc import Iterator, Sequence

MAX_LENGTH = 1024  # what is larger costs time and reaches nothing new; the tests try some inputs at full size


def mutations(kept: Sequence[bytes], tokens: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """Yield so many inputs, each one to five steps away from a kept one."""
    draw = random.Random(seed)
    for _ in range(count):
        data = draw.choice(kept)
        for _ in range(draw.randint(1, 5)):
            data = _step(draw, data, kept, tokens)[:MAX_LENGTH]
        yield data


def _step(draw: random.Random, data: bytes, kept: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start = draw.randint(0, len(data))
    end = min(len(data), start + draw.choice((0, 1, 2, 8, 64)))
    match draw.randrange(6):
        case 0:
            return data[:start] + draw.choice(tokens) + data[end:]
        case 1:
            return data[:start] + draw.randbytes(end - start) + data[end:]
        case 2:
            return data[:start] + data[end:]
        case 3:
            return data[:end] + data[start:end] * draw.choice((1, 2, 40)) + data[end:]
        case 4:
            other = draw.choice(kept)
            return data[:start] + other[draw.randint(0, len(other)) :]
        case _:
            return data[:start] + bytes([draw.randrange(256)]) + data[start:]
