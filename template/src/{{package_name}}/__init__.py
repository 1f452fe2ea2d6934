"""The team's code: what comes in, what goes out, the model, and the rules of today's process."""
