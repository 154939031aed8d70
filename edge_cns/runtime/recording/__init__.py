"""Recordings of live sessions: kept sealed on a disk, and replayed to the bit."""
