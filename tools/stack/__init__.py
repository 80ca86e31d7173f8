"""PostgreSQL and Apache Kafka for development and tests: the real servers, without docker.

Both come from Python packages and listen on 127.0.0.1 only. `server.py` starts and stops them. Nothing here is meant
for production: one node, a known password, short time-outs.
"""
