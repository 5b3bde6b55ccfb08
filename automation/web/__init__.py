"""Pages for people who are not signed in, and for those who are."""
