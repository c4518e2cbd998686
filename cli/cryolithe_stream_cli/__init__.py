"""The command line of cryolithe-stream: parse, call, print."""
