"""JSON pointers (RFC 6901)."""


def pointer(*steps: str | int) -> str:
    """The RFC 6901 pointer with these *steps*."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
