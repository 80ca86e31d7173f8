"""What the suites share: servers and instances of the service to test against, load, clients, builders."""
