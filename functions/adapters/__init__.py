"""The ports on AWS and HTTP."""
