"""Every private member of kafka-python that the service touches, and every trick that depends on how it works inside.

- records: how a consumer takes records out of a broker's answer. One bad record would stop a consumer for ever.
- group: what a member of a group does between its polls.
- connections: how clients connect, which leaks, and questions that no public method asks.
- producer: when a producer sends, and how a record gets into its batch. A batch leaves whole and under a lease.

Each function says what it is for and which test fails when the library moves.
"""

import kafka

VERSION = "3.0.12"

if kafka.__version__ != VERSION:
    raise ImportError(
        f"kafka-python {kafka.__version__} is not {VERSION}: look through app/kafka/quirks before using it"
    )
