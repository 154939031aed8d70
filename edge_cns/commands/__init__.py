"""The commands, one file each: here the parts are put together."""
