"""Where verdicts go: one file each, one row each in `table`."""
