"""What the API, the web pages, tasks and commands call: services write, selectors read."""
