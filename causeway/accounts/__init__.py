"""People: who they are, how they prove it, which groups they are in."""
