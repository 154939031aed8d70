"""Where frames come from: one file each, one row each in `table`."""
