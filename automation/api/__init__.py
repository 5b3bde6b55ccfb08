"""The REST API at `/api/v1/`: reads rows, writes through `automation.services`, and controls executions through the
engine. Authentication by token or session; one envelope for every error (`automation.api.errors`)."""
