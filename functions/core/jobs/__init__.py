"""A picture's way from pending to stored: claimed, paid for once, checked, kept."""
