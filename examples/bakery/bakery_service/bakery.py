"""What all endpoints share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import histio
from fastapi import Depends, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from bakery_service.imports import Imports
from bakery_service.transfer import Limits


@dataclass(frozen=True, slots=True)
class Bakery:
    """One branch, its database, its imports, and files to try an upload with, by name."""

    branch: str
    engine: AsyncEngine
    history: histio.AsyncHistory
    limits: Limits
    imports: Imports
    samples: dict[str, bytes]


def _bakery(request: Request) -> Bakery:
    return request.app.state.bakery


TheBakery = Annotated[Bakery, Depends(_bakery)]


# In docs/how-to/service.md:
def same_origin(request: Request) -> None:
    """Refuse what the page of another site makes a browser send. What is not a browser says nothing of sites.

    Raises:
        HTTPException: The request may change something, and comes from elsewhere.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if request.method in ("GET", "HEAD") or (site is None and origin is None):
        return
    if site is None:  # an old browser, or one that asks without TLS
        own = f"{request.url.scheme}://{request.headers.get('host')}"
        site = "same-origin" if origin == own else "cross-site"
    if site not in ("same-origin", "none"):
        raise HTTPException(403, "the request comes from another site")


# So far in docs/how-to/service.md.
