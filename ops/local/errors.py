"""What can go wrong with the embedded AWS, for the person who typed the command."""


class LocalError(Exception):
    """Raised when the embedded AWS cannot be started, deployed to or stopped; the message says what to do."""
