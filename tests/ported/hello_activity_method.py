"""Activities that are methods, and one that is a class."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


class Database:
    def __init__(self) -> None:
        self.rows: list[str] = []

    @activity.defn
    async def insert(self, row: str) -> int:
        self.rows.append(row)
        return len(self.rows)


class Shout:
    @activity.defn(name="shout")
    def __call__(self, text: str) -> str:
        return text.upper()


@workflow.defn
class MyWorkflow:
    @workflow.run
    async def run(self, text: str) -> str:
        limit = timedelta(seconds=10)
        loud = await workflow.execute_activity_class(Shout, text, start_to_close_timeout=limit)
        await workflow.execute_activity_method(Database.insert, text, start_to_close_timeout=limit)  # type: ignore[arg-type]
        count = await workflow.execute_activity_method(Database.insert, loud, start_to_close_timeout=limit)  # type: ignore[arg-type]
        return f"{count} rows, the last is {loud}"


async def main() -> None:
    client = await Client.connect("localhost:7233")
    database = Database()
    async with Worker(client, task_queue="hello-method", workflows=[MyWorkflow], activities=[database.insert, Shout()]):
        result = await client.execute_workflow(MyWorkflow.run, "hello", id="hello-method-id", task_queue="hello-method")
        print(f"{result}; the database has {database.rows}")


if __name__ == "__main__":
    asyncio.run(main())
