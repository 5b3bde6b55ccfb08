"""Search attributes: given with the start, changed by the workflow, found by a filter."""

import asyncio

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from automation.durable.worker import Worker

CUSTOMER = SearchAttributeKey.for_keyword("Customer")
ORDERS = SearchAttributeKey.for_int("Orders")


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self) -> int:
        orders = workflow.info().typed_search_attributes[ORDERS]
        workflow.upsert_search_attributes([ORDERS.value_set(orders + 1)])
        return orders


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-search", workflows=[GreetingWorkflow]):
        handle = await client.start_workflow(
            GreetingWorkflow.run,
            id="hello-search-id",
            task_queue="hello-search",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(CUSTOMER, "ada"), SearchAttributePair(ORDERS, 41)]
            ),
        )
        before = await handle.result()
        after = (await handle.describe()).typed_search_attributes
        found = [one.id async for one in client.list_workflows("Customer = 'ada' AND Orders > 41")]
        print(f"From {before} to {after[ORDERS]}, found: {found}")


if __name__ == "__main__":
    asyncio.run(main())
