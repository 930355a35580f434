"""What travels with every logged model: it imports nothing of this project, so that the model opens without it."""
