"""Networks that turn a grey frame into a feature map: `table` lists them, `build` makes them."""
