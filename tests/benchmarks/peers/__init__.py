"""What people would otherwise pick, each doing the same work on the same tables; docs/performance.md says which."""
