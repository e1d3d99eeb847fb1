"""What `make bench` runs: how fast the monitor is and how much memory it needs, against budgets."""
