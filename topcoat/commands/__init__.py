"""The commands, one module each: ``configure(parser)`` declares its arguments, ``run(options)`` returns the exit code."""
