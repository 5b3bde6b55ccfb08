"""Commands of the automation app."""
