"""What a person runs: the ``imagebatch`` command, the embedded AWS, the sandbox provider, packaging."""
