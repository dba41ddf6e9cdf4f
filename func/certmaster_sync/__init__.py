"""Which certificates the minions hold of each other, kept in step with the certmaster."""
