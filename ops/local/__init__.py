"""The embedded AWS: ministack and the sandbox provider as processes of this machine, with the real stack on them.

``instance`` is what others use; ``daemon`` runs a process, ``embedded`` and ``deployment`` know ministack and the CDK,
``state`` the folder that everything of one instance lives in.
"""
