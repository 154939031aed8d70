"""The local door: frames in shared memory, one small message for each, answers on the same socket."""
