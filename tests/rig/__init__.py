"""The real servers the tests run against: how they are installed, started, driven and stopped."""
