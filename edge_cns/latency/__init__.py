"""The measuring instrument: how long a verdict takes on this device, and on what that rests."""
