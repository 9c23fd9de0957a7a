"""JSON pointers (RFC 6901)."""


def pointer(*steps: str | int) -> str:
    """The RFC 6901 pointer with these *steps*."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def parse(pointer: str) -> list[str]:
    """The steps of a *pointer*, all as text."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def find_members(pointer: str) -> list[str]:
    """The names of the members on the way of a *pointer*, without the indexes of lists."""
    return [step for step in parse(pointer) if not step.isdecimal()]
