"""Lanes and the accounts they share: pace, what they did, and what keeps them in bounds."""
