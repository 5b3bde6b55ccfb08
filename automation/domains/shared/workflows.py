"""None: what is shared are activities, which workflows of every domain call by name."""

WORKFLOWS: list[type] = []
