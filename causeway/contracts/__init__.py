"""Types that two or more domains exchange; no I/O."""
