"""`python -m cryolithe_stream_cli` is the command line."""

from __future__ import annotations

from cryolithe_stream_cli.main import program

if __name__ == "__main__":
    program()
