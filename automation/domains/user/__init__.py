"""Users of the application: onboarding, and work on many of them at once. Their rows are `automation.models.User`."""
