"""The command line, one file a command.

Commands import what they need when they run, so that `autoreg --help` answers at once; this holds for this room alone.
"""
