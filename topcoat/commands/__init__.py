"""The commands, one module each: ``configure(parser)`` declares arguments, ``run(options)`` returns the exit code."""
