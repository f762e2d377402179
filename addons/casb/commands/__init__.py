"""One module per verb of `casb`: `add_arguments(parser)` and `run(arguments) -> exit status`."""
