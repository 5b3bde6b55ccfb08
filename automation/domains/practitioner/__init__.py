"""Practitioners: people who offer services. They are onboarded part by part. A practitioner's id is their user's."""
