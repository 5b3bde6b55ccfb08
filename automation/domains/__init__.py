"""One small Django app for each domain."""
