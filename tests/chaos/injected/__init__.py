"""What is put beside `functions/` in the package of a chaos run, and in no other package.

It is copied there as `chaos/` and becomes the functions' handlers by a change of their configuration after the deploy.
"""
