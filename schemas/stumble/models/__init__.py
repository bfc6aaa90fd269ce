"""Models layer (pydantic): settings, records for people who read the contract. Nothing that Nova loads imports it."""
