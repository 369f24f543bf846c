"""The makers of the binary sample documents."""
