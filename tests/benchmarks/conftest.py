from tests.trained import trained

__all__ = ["trained"]
