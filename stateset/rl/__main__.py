"""`python -m stateset.rl` is the console command `stateset-rl`."""

from stateset.rl.cli import main

if __name__ == "__main__":
    main()
