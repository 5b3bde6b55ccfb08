"""What a client sees of a failed activity: the workflow's failure, the activity's, and what it raised."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client, WorkflowFailureError
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError, FailureError
from automation.durable.worker import Worker


@activity.defn
def compose_greeting(name: str) -> str:
    try:
        raise ValueError(f"{name} is nobody")
    except ValueError as error:
        raise ApplicationError("no greeting", name, type="NoGreeting", non_retryable=True) from error


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            compose_greeting,
            name,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(
        client, task_queue="hello-exception", workflows=[GreetingWorkflow], activities=[compose_greeting]
    ):
        try:
            await client.execute_workflow(
                GreetingWorkflow.run, "World", id="hello-exception-id", task_queue="hello-exception"
            )
        except WorkflowFailureError as failure:
            print(f"{type(failure).__name__}")
            error: BaseException | None = failure.cause
            while isinstance(error, FailureError):
                match error:
                    case ActivityError():
                        print(f"ActivityError of {error.activity_type}")
                    case ApplicationError():
                        print(f"ApplicationError of type {error.type}: {error.message}, details {list(error.details)}")
                error = error.cause


if __name__ == "__main__":
    asyncio.run(main())
