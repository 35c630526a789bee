"""The governor: what lanes and the intake are held back by when something goes wrong, and how they come back."""
