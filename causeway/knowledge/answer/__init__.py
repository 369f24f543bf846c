"""A question becomes a cited stream."""
