"""The console command `stateset-rl`: arguments and wiring only, one file a command."""

from stateset.rl.cli.app import main

__all__ = ["main"]
