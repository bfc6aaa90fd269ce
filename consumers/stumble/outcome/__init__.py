"""From facts to outcomes: one pure function, with every rule about Nova's actions in one table."""
