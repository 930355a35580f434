"""From a configuration to a finished study: propose, run, store, tell."""
