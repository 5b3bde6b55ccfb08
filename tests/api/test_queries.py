"""What the query strings of those say that are no lists: nothing is left out in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation.models import Workflow
from tests.api.conftest import problem_of

pytestmark = pytest.mark.django_db

DOCUMENT = {"weir": 1, "workflow": {"name": "Imported", "trigger": "booking_created"}}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("workflows/performance-stats/?dayz=9", "days"),
        ("workflows/{id}/execution-summary/?day=9", "days"),
        ("workflows/{id}/export/?formt=json", "format"),
        ("workflows/export/?fromat=json", "format"),
        ("workflows/{id}/versions/1/?agianst=live", "against"),
        ("notifications/totals/?day=9", "days"),
        ("definitions/?domian=booking", "domain"),
    ],
)
def test_a_parameter_that_is_misspelt_is_refused(
    api: APIClient, operator: APIClient, workflow: Workflow, path: str, meant: str
) -> None:
    client = operator if path.startswith("definitions") else api
    fields = problem_of(client.get(f"/api/v1/{path.format(id=workflow.pk)}"), 400, "invalid")["fields"]
    (problem,) = fields.values()
    assert f"Did you mean {meant!r}?" in problem[0]


def test_a_dry_run_that_is_misspelt_imports_nothing(api: APIClient) -> None:
    """It did import."""
    answer: Any = api.post("/api/v1/workflows/import/?dryrun=true", DOCUMENT)
    assert problem_of(answer, 400, "invalid")["fields"]["dryrun"][0].startswith("There is no such parameter here. Did")
    assert not Workflow.objects.exists()
    assert api.post("/api/v1/workflows/import/?dry_run=true", json.loads(json.dumps(DOCUMENT))).status_code == 200


def test_an_unknown_domain_is_told_at_its_parameter(operator: APIClient) -> None:
    error = problem_of(operator.get("/api/v1/definitions/?domain=bookin"), 400, "invalid")
    assert "did you mean 'booking'?" in error["fields"]["domain"][0]
