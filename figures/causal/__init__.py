"""What the memory in M does: interventions on trained networks."""
