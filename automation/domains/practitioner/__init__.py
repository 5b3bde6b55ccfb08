"""Practitioners: people who offer services. They are onboarded part by part. A practitioner's id is their user's."""

from automation.domains import exports

__getattr__ = exports(__name__)
