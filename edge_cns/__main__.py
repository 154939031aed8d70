"""``python -m edge_cns``."""

from edge_cns.cli import main

main()
