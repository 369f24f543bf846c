"""Whether a change made answers better, and a gate that stops it when it did not."""
