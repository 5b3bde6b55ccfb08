"""An update that is answered, and one that its validator refuses."""

import asyncio

from automation.durable import workflow
from automation.durable.client import Client, WorkflowUpdateFailedError
from automation.durable.worker import Worker


@workflow.defn
class GreetingWorkflow:
    def __init__(self) -> None:
        self._names: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self._names) == 2 and workflow.all_handlers_finished())
        return self._names

    @workflow.update
    async def greet(self, name: str) -> str:
        await asyncio.sleep(0.01)
        self._names.append(name)
        return f"Hello, {name}!"

    @greet.validator
    def check_name(self, name: str) -> None:
        if not name:
            raise ValueError("a name, please")


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-update", workflows=[GreetingWorkflow]):
        handle = await client.start_workflow(GreetingWorkflow.run, id="hello-update-id", task_queue="hello-update")
        print(await handle.execute_update(GreetingWorkflow.greet, "Ada"))
        try:
            await handle.execute_update(GreetingWorkflow.greet, "")
        except WorkflowUpdateFailedError as error:
            print(f"Refused: {error.cause}")
        print(await handle.execute_update("greet", "Bo"))
        print(f"Result: {await handle.result()}")


if __name__ == "__main__":
    asyncio.run(main())
