"""The command line: it wires the other rooms together. One file a command."""
