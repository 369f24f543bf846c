"""Fakes and contract suites for tests and plugin authors."""
