"""The service as networks and their clients meet it: gunicorn with its own configuration, over real connections."""
