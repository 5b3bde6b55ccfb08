"""What a workflow can do: one module per action type, one contract (`base.ActionType`), one list (`catalog`)."""
