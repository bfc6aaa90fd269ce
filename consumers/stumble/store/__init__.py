"""The failure store: PostgreSQL, its migrations, its named SQL and what keeps it small."""
