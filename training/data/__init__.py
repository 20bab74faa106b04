"""Label files in every published shape, read into one form that is checked; and photos made worse."""
