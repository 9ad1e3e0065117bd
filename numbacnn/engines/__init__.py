"""Several processes that train one network: who has started them, and what moves their arrays. Nothing is imported here."""
