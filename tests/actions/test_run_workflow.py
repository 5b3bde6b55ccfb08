"""Starting Python workflows from an action: their input, exactly one start, and the end of loops."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from automation.actions.base import ActionProblem
from automation.actions.config import ActionConfig
from automation.actions.registry import registry
from automation.causes import MAX_DEPTH, caused_by, current_cause
from automation.durable import payloads
from automation.durable.exceptions import ApplicationError
from automation.errors import InvalidInput
from automation.models import ExecutionStatus, User, Workflow, WorkflowExecution
from automation.rules.fields import sample_context
from automation.services import workflows
from tests.actions.conftest import Change, Stage


def config(workflow: str = "flows_order", input: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = {"url": "https://x.example/{{ booking_id }}"} if input is None else input
    return {"action_type": "run_workflow", "config": {"workflow": workflow, "input": given, **more}}


def started(stage: Stage) -> list[WorkflowExecution]:
    return list(WorkflowExecution.objects.exclude(definition="automation").order_by("id"))


def problems(**action: Any) -> dict[str, str]:
    found = registry.get("run_workflow").validate(ActionConfig.from_mapping(action))
    return {problem.path: problem.message for problem in found if problem.severity == "error"}


def test_it_starts_the_workflow_with_its_input_and_links_it(stage: Stage) -> None:
    result = stage.act(
        **config(input={"url": "https://x.example/{{ invitee_name }}", "pause": {"expr": "custom_size * 2 + 0.5"}})
    )
    [execution] = started(stage)
    assert payloads.decode(execution.input) == ["https://x.example/José Álvarez", 24.5]
    assert (execution.definition, execution.status) == ("flows_order", ExecutionStatus.PENDING)
    assert (execution.booking, execution.depth) == (stage.booking, 1)
    assert result["rendered"]["execution_id"] == str(execution.pk)
    assert result["rendered"]["url"].endswith(f"/executions/{execution.pk}/")
    assert result["rendered"]["input"]["pause"] == 24.5


def test_a_template_is_read_as_the_parameters_type(stage: Stage) -> None:
    stage.act(**config(input={"url": "x", "pause": " {{ custom_size }} "}))
    assert payloads.decode(started(stage)[0].input) == ["x", 12.0]


def test_an_object_is_handed_over_with_its_texts_rendered(stage: Stage) -> None:
    data = {"who": "{{ invitee_name }}", "deep": [{"n": 1, "no": None}], "expr": 5}
    stage.act(**config("flows_snippet", {"name": "echo", "data": data}))
    assert payloads.decode(started(stage)[0].input) == ["echo", {**data, "who": "José Álvarez"}]


def test_dates_travel_as_text(stage: Stage) -> None:
    stage.act(**config("flows_snippet", {"name": "x", "data": {"expr": "start_time + days(1)"}}))
    [_, when] = payloads.decode(started(stage)[0].input)
    assert when.startswith(f"{stage.booking.start_time.year}-")


def test_what_was_rolled_back_was_not_started(stage: Stage) -> None:
    execution = stage.execution(**config())
    with transaction.atomic():
        stage.run(execution)
        transaction.set_rollback(True)  # the record of the outcome could not be written
    assert not started(stage)
    assert registry.get("run_workflow").transactional


def test_an_open_execution_with_the_same_id_is_linked_and_no_second_one_started(stage: Stage) -> None:
    first = stage.act(**config(id="order-{{ booking_id }}"))
    second = stage.act(**config(id="order-{{ booking_id }}"))
    [execution] = started(stage)
    assert execution.business_id == f"order-{stage.booking.pk}"
    assert first["rendered"]["execution_id"] == second["rendered"]["execution_id"] == str(execution.pk)
    assert "under way already" in second["notes"][0]


def test_an_id_that_somebody_else_s_execution_has_is_not_linked(stage: Stage) -> None:
    stage.act(**config(id="order-1"))
    WorkflowExecution.objects.update(organizer=User.objects.create_user("eve@weir.example"))
    with pytest.raises(ApplicationError, match="in use by an execution of something else"):
        stage.act(**config(id="order-1"))
    assert len(started(stage)) == 1


def test_a_chain_of_workflows_ends_at_the_fifth(stage: Stage) -> None:
    for depth in range(MAX_DEPTH - 1):
        assert stage.run(stage.execution(depth=depth, **config()))["status"] == "success"
    assert [execution.depth for execution in started(stage)] == [1, 2, 3, 4]
    result = stage.run(stage.execution(depth=MAX_DEPTH - 1, **config()))
    assert result["status"] == "skipped"
    assert "5 workflows have led to this one" in result["notes"][0]
    assert len(started(stage)) == MAX_DEPTH - 1


def test_a_service_called_by_a_workflow_does_not_forget_how_deep_it_is(stage: Stage) -> None:
    execution = stage.execution(**config())
    with caused_by("workflow", execution_id=execution.pk, workflow_id=execution.workflow_id, depth=3):
        with caused_by("api"):
            cause = current_cause()
        assert (cause.source, cause.depth, cause.execution_id) == ("api", 3, execution.pk)
        with caused_by("workflow", depth=1):
            assert current_cause().depth == 3
    assert current_cause().depth == 0


def test_input_that_does_not_fit_at_fire_time_fails_the_action_for_good(stage: Stage, change: Change) -> None:
    action = config(input={"url": "x", "pause": "{{ invitee_name }}"})
    with pytest.raises(ApplicationError) as caught:
        stage.act(**action)
    assert caught.value.non_retryable
    assert "pause: expected a number, got 'José Álvarez'" in caught.value.message
    with pytest.raises(ApplicationError, match="has no value here"):
        stage.act(**config(input={"url": "x", "pause": {"expr": "1 / 0"}}))
    assert not started(stage)


@pytest.mark.parametrize(
    ("action", "path", "message"),
    [
        ({"config": {}}, "config.workflow", "Name the workflow"),
        ({"config": []}, "config.workflow", "Name the workflow"),
        (config("flows_odrer"), "config.workflow", "flows_order"),
        (config("automation"), "config.workflow", "organizers build"),
        (config(input={}), "config.input.url", "missing"),
        (config(input={"url": "x", "puase": "1"}), "config.input.puase", "did you mean 'pause'"),
        (config(input={"url": "x", "pause": "soon"}), "config.input.pause", "expected a number"),
        (config(input={"url": "x", "pause": {"expr": "1 +"}}), "config.input.pause.expr", ""),
        (config(input={"url": "{{ x"}), "config.input.url", ""),
        (config(id="{% if %}"), "config.id", ""),
        (config(nope=1), "config.nope", "there are: workflow, input, id, queue"),
        (config(queue=1), "config.queue", "Expected text"),
        ({"config": {"workflow": "flows_order", "input": []}}, "config.input", "Expected an object"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_saved(
    db: None, action: dict[str, Any], path: str, message: str
) -> None:
    found = problems(**{"action_type": "run_workflow", **action})
    assert path in found, found
    assert message in found[path]


def test_a_good_configuration_has_no_problems_and_its_preview_starts_nothing(stage: Stage) -> None:
    action = config(input={"url": "https://x.example/{{ booking_id }}", "pause": {"expr": "duration / 2"}})
    assert problems(**action) == {}
    preview = registry.get("run_workflow").preview(sample_context(), ActionConfig.from_mapping(action))
    assert preview.rendered["workflow"] == "flows_order"
    assert preview.rendered["input"]["pause"] == 15
    assert [problem for problem in preview.problems if problem.severity == "error"] == []
    broken = config(input={"url": "x", "pause": "{{ invitee_name }}"})
    preview = registry.get("run_workflow").preview(sample_context(), ActionConfig.from_mapping(broken))
    assert any(isinstance(problem, ActionProblem) and "number" in problem.message for problem in preview.problems)
    assert not started(stage)


def test_an_organizer_starts_only_what_is_open_to_all(stage: Stage, settings: Any) -> None:
    """Otherwise a workflow that deploys, or pays out, would be one action away from everybody."""

    def make() -> Workflow:
        return workflows.create(stage.organizer, name="W", trigger="booking_created", actions=[config()])

    settings.ORGANIZER_WORKFLOWS = []
    execution = stage.execution(**config())
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution)
    assert (caught.value.type, caught.value.non_retryable) == ("NotPermitted", True)
    with pytest.raises(InvalidInput) as refused:
        make()
    assert "Only staff" in refused.value.fields["actions[0].config.workflow"][0]
    assert not started(stage)
    settings.ORGANIZER_WORKFLOWS = ["*"]
    workflow = make()
    settings.ORGANIZER_WORKFLOWS = []
    with pytest.raises(InvalidInput):
        workflows.add_action(workflow, **config())
    with pytest.raises(InvalidInput):
        workflows.update_action(workflow.actions.get(), name="x")
    stage.organizer.is_staff = True
    stage.organizer.save()
    assert stage.run(execution)["status"] == "success"
    workflows.add_action(workflow, **config())
