"""Django's admin, for operators: every row can be found and read; what is history cannot be edited."""
