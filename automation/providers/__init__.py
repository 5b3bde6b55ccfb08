"""Where messages leave: backends chosen by dotted path, as Django's email backends are."""
