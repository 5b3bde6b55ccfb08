"""Five activities at once."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@activity.defn
def say_hello(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class SayHelloWorkflow:
    @workflow.run
    async def run(self) -> list[str]:
        results = await asyncio.gather(
            *(
                workflow.execute_activity(say_hello, f"user{n}", start_to_close_timeout=timedelta(seconds=5))
                for n in range(1, 6)
            )
        )
        return sorted(results)


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-parallel", workflows=[SayHelloWorkflow], activities=[say_hello]):
        result = await client.execute_workflow(
            SayHelloWorkflow.run, id="hello-parallel-id", task_queue="hello-parallel"
        )
        print(f"Result: {', '.join(result)}")


if __name__ == "__main__":
    asyncio.run(main())
