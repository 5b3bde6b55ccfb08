"""The pure half of automations: context fields, conditions, templates and plans.

Plain values in, plain values out. Nothing here touches the ORM, the settings, the network or the wall clock, so that
one rule gives one answer in a request, in a worker, in a backtest and in a test.

| module | concept |
|---|---|
| `fields` | every context field, registered once |
| `context` | facts about a booking → the one dictionary for conditions, templates and webhooks |
| `values` | how values of any type are read as numbers, times and text |
| `operators` | the condition operators and the field types they fit |
| `expressions` | `{"expr": "…"}`: arithmetic over the context |
| `conditions` | evaluation, with a trace |
| `validation` | what is refused when a workflow is saved |
| `analysis` | rules that can never, or always, hold together |
| `templating` | bounded, sandboxed Jinja2 |
| `plan` | actions → stages, triggers → planned times |
"""
