"""What the command line offers: each a thin caller of the rest."""
