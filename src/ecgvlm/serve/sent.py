"""What a request is about: a page that it sends, or one that was read before; and what is sent in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple

from fastapi import Depends, File, Form, Request, UploadFile

from ecgvlm.serve.service import Service
from ecgvlm.serve.work import Reading
from ecgvlm.words.phrases import LANGUAGES

Spoken = Literal[LANGUAGES]  # type: ignore[valid-type]


def _caller(request: Request) -> str:
    """The language that the caller would rather read, English where it is none of ours: that of a question
    which does not show its own."""
    accepted = []
    for entry in request.headers.get("accept-language", "").split(","):
        code, _, weight = entry.strip().partition(";q=")
        with contextlib.suppress(ValueError):
            accepted.append((float(weight or 1), code[:2].lower()))
    accepted.sort(key=lambda choice: -choice[0])
    return next((code for weight, code in accepted if weight and code in LANGUAGES), "en")


Caller = Annotated[str, Depends(_caller)]
PageNumber = Annotated[
    int | None,
    Form(ge=0, le=999, description="Page of a file with several, from 0; else the first that shows an ECG."),
]
_MOST_ECGS = 99


class SentEcg(NamedTuple):
    """The ECG that a request is about: on a page of this id, which was read, or on the page itself. number:
    of the page in its file, from 0; ecg: of those on the picture, from 1. owner: who sent it.
    """

    id: str | None
    image: UploadFile | None
    number: int | None
    ecg: int
    owner: str

    async def reading(self, service: Service) -> Reading:
        """What was read of it, now or before. Raises ApiError where there is no such ECG, and EcgError."""
        page = await self._page(service)
        found = (page, *page.others)
        if self.ecg > len(found):
            said = f"ecg: the picture shows {len(found)}, there is no number {self.ecg}"
            raise ApiError(422, "invalid_request", said)
        return found[self.ecg - 1]

    async def _page(self, service: Service) -> Reading:
        if self.image is not None:
            name, data = self.image.filename or "upload", await self.image.read()
            return (await service.read(data, self.number, name=name, owner=self.owner))[1]
        if not self.id:
            raise ApiError(422, "invalid_request", "send an image, or the id of a page that was read")
        if (found := await service.recall(self.id, self.owner)) is None:
            raise ApiError(404, "gone", "this page is no longer in memory; send the image again")
        return found

    def called(self, kind: str) -> str:
        """What a file made of it is called."""
        return f"ecg.{kind}" if self.ecg == 1 else f"ecg-{self.ecg}.{kind}"


def _sent(
    request: Request,
    id: Annotated[
        str | None, Form(max_length=64, description="Of a page read within the last minutes.")
    ] = None,
    image: Annotated[UploadFile | None, File(description="Or the page itself.")] = None,
    page: PageNumber = None,
    ecg: Annotated[
        int, Form(ge=1, le=_MOST_ECGS, description="Of a picture with several ECGs: which, from 1.")
    ] = 1,
) -> SentEcg:
    return SentEcg(id, image, page, ecg, request.state.owner)


Sent = Annotated[SentEcg, Depends(_sent)]


class ApiError(Exception):
    """An error of the interface. code: for programs; message: a sentence for people."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


async def each_once(request: Request) -> None:
    """Refuses a field that is sent several times: the last one alone would be read."""
    names = [name for name, _ in (await request.form()).multi_items() if name != "before"]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        said = f"{repeated}: is sent {names.count(repeated)} times; several pages go to /v1/batches"
        raise ApiError(422, "invalid_request", said)


def listed(objects: Iterable[str]) -> Iterator[str]:
    """A JSON list of objects, in pieces: a long one, or many at once, would fill the memory."""
    between = "["
    for one in objects:
        yield between + one
        between = ","
    yield "[]" if between == "[" else "]"
