"""What a network the engine cannot run is answered with."""


class CompileError(ValueError):
    """A network does not fit an engine. The message is one line: which layer, what it needs, what the engine has and
    what to do about it."""
