"""A folder of photos, rated once and remembered, and the files in which the ranking leaves."""
