"""Video rooms: made with an expiry, kept in step with the provider, deleted when they have expired."""
