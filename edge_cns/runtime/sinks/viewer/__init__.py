"""The page at the bedside: one folder of static files, and what is sent to it over a WebSocket."""
