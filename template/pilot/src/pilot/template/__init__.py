"""The template that the pilot came from: whether its files are unedited, what is new in it, and how to get that."""
