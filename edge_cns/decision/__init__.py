"""Where a score becomes a statement: numpy only, shared by evaluation and runtime."""
