"""The rules, pure: no AWS, no HTTP, no environment; time, chance and money come in as arguments."""
