"""PostgreSQL and Apache Kafka for development and tests: the real servers, without docker.

Both come out of Python packages and run on 127.0.0.1 only, each under a small supervisor of our own (`server.py`).
Nothing here is meant for production: one node, a known password, short time-outs.
"""
