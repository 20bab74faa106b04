"""How far an answer can be trusted: how sure, in which order, where, why, and whether it comes again."""
