"""The deployed stack under faults and kills: what is lost, and what is paid for twice? `make chaos` runs it."""
