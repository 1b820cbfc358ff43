"""What a command does: stage, build, train, generate, serve, test. The only code that joins engines and generator."""
