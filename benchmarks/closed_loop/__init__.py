"""Does the advice pay? Worlds whose truth is known, planned as a user plans them, and what then truly happens."""
