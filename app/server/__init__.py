"""The process that serves: gunicorn's master and its workers."""
