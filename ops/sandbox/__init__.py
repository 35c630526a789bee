"""The sandbox provider: an image API on this machine that a client cannot tell from the real one.

``engine`` is what any image API does (accept, charge, take its time, fail as configured); each file named
after a provider speaks that provider's wire protocol on top of it; ``pictures`` draws what is downloaded.
"""
