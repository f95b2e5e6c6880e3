"""Getting weights from their publisher: goes on where a broken download stopped, and believes no byte unchecked.

A file grows as `NAME.part` beside its place and moves there once its size and sha256 are right. The sha256 is the
table's; where the table has none, the hub's own word for it (it names large files by their sha256).
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from engine.errors import InputError, MissingError
from engine.weights.find import how_to_get
from engine.weights.known import Weights, WeightsFile
from engine.weights.remember import file_sha256, remember

HUB = "https://huggingface.co"
TRIES = 5
"""Attempts without a single new byte, before a download is given up."""
MAX_WAIT_S = 60.0
TIMEOUT_S = 30.0
RECEIPT = ".mimo-weights.json"
"""In the folder of a set: what was fetched, from where, with which sha256."""
_BLOCK = 1 << 20
_DISK_ERRORS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

Report = Callable[[str, int, int], None]
"""Path of a file, bytes that are here, bytes in all (0: not known)."""


@dataclass(frozen=True)
class _Offer:
    """What a server says about a file before it sends it."""

    url: str
    size: int = 0
    sha256: str = ""
    tag: str = ""
    """Changes when the file does; a part of another tag is not gone on with."""


def pull(
    weights: Weights,
    folder: Path,
    *,
    report: Report = lambda path, done, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """Fetch what is missing of a set of weights.

    Args:
        weights: of the table.
        folder: the folder of all weights; the set gets one of its own in it.
        report: hears how far each file is.
        sleep: waits between attempts.

    Returns:
        The files, in the table's order.

    Raises:
        MissingError: the server cannot be reached, does not have a file, or wants an account; a file is not what was
            promised; this set has to be got by hand.
        InputError: the disk is too small.
    """
    if weights.by_hand:
        raise MissingError(f"{weights.name} cannot be fetched by a program.", fix=how_to_get(weights))
    if weights.repo and _is_offline():
        raise MissingError(
            f"{weights.name} is on the hub, and HF_HUB_OFFLINE forbids to ask it.",
            fix=f"unset HF_HUB_OFFLINE, or put the files into {folder / weights.name} by hand.",
        )
    place = folder / weights.name
    return [_pull_file(weights, file, place, report, sleep) for file in weights.files]


def receipt_of(folder: Path) -> dict[str, dict]:
    """Return what was fetched into a set's folder: path to url, size and sha256; empty where nothing was."""
    try:
        told = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


# ---------------------------------------------------------------------------------------------- one file


def _pull_file(
    weights: Weights, file: WeightsFile, place: Path, report: Report, sleep: Callable[[float], None]
) -> Path:
    target = place / file.path
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    offer = _ask(weights, file, place, sleep)
    # What an archive holds is checked after it is unpacked; the archive itself by the size its server tells.
    size, sha256 = (0, "") if file.member else (file.size, file.sha256)
    _check_offer(file, offer, size, sha256, place)
    offer = replace(offer, size=offer.size or size, sha256=sha256 or offer.sha256)
    part = place / (Path(urlsplit(weights.url).path).name if file.member else file.path)
    part = part.with_name(f"{part.name}.part")
    _make_room(part, offer.size)
    got = _download(file.path, offer, part, report, sleep)
    if (offer.size and part.stat().st_size != offer.size) or (offer.sha256 and got != offer.sha256):
        told = f"sha256 {got}, {part.stat().st_size} bytes"
        part.unlink()
        raise MissingError(
            f"what came for {file.path} of {weights.name} is not what was promised: {told}, instead of "
            f"sha256 {offer.sha256 or 'not told'}, {offer.size or 'any number of'} bytes. It was deleted.",
            fix=f"try again: mimo weights pull {weights.name}   (if it comes again, the file was changed on its way)",
        )
    if file.member:
        got = _unpack(part, file, target)
    else:
        os.replace(part, target)
    remember(target, got)
    _write_receipt(place, file.path, {"url": offer.url.split("?")[0], "size": target.stat().st_size, "sha256": got})
    return target


def _check_offer(file: WeightsFile, offer: _Offer, size: int, sha256: str, place: Path) -> None:
    """Refuse before a byte is fetched what cannot come out right."""
    if (sha256 and offer.sha256 and offer.sha256 != sha256) or (size and offer.size and offer.size != size):
        raise MissingError(
            f"the server offers another {file.path} than mimo knows: sha256 {offer.sha256 or 'not told'}, "
            f"{offer.size} bytes, instead of {sha256}, {size} bytes.",
            fix=f"if you trust it, get it yourself and put it at {place / file.path}.",
        )


def _make_room(part: Path, size: int) -> None:
    have = part.stat().st_size if part.is_file() else 0
    free = shutil.disk_usage(part.parent).free
    if size - have > free:
        raise InputError(
            f"{part.parent} has {free / 1e9:.1f} GB free; {(size - have) / 1e9:.1f} GB are to come.",
            fix="free some space, or name another disk: MIMO_WEIGHTS=/somewhere/else mimo weights pull ...",
        )


def _download(name: str, offer: _Offer, part: Path, report: Report, sleep: Callable[[float], None]) -> str:
    """Fetch a file into its part, going on where it is; returns the sha256 of what is there at the end."""
    tag = part.with_name(f"{part.name}.tag")
    if not (part.is_file() and tag.is_file() and tag.read_text(encoding="utf-8") == offer.tag):
        part.unlink(missing_ok=True)
    tag.write_text(offer.tag, encoding="utf-8")
    tries = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        if offer.size and before >= offer.size:
            break
        try:
            _stream(name, offer, part, report)
            break
        except (OSError, HTTPException) as error:
            if _is_the_disks(error):
                raise
            if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                part.unlink(missing_ok=True)  # longer than the file is now: it was another one
            moved = part.is_file() and part.stat().st_size > before
            tries = 1 if moved else tries + 1
            _wait_or_give_up(error, name, offer.url, part.parent, tries, sleep)
    tag.unlink(missing_ok=True)
    return file_sha256(part)


def _stream(name: str, offer: _Offer, part: Path, report: Report) -> None:
    """Append what is missing; a server that does not know ranges begins again.

    Raises:
        ConnectionError: the line was closed early, which the standard library does not say.
    """
    have = part.stat().st_size if part.is_file() else 0
    with _open(offer.url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        goes_on = answer.status == 206
        done = have if goes_on else 0
        total = done + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if goes_on else "wb") as stream:
            while block := answer.read(_BLOCK):
                stream.write(block)
                done += len(block)
                report(name, done, offer.size or total)
            stream.flush()
            os.fsync(stream.fileno())
    if done < max(total, offer.size):
        raise ConnectionError(f"the line was closed after {done} of {max(total, offer.size)} bytes")


def _unpack(archive: Path, file: WeightsFile, target: Path) -> str:
    """Take one file out of an archive, and nothing else; returns its sha256."""
    sha = hashlib.sha256()
    part = target.with_name(f"{target.name}.part")
    try:
        with tarfile.open(archive) as tar:
            inside = tar.extractfile(file.member)
            assert inside is not None
            with part.open("wb") as stream:
                while block := inside.read(_BLOCK):
                    stream.write(block)
                    sha.update(block)
                stream.flush()
                os.fsync(stream.fileno())
    except (tarfile.TarError, KeyError, AssertionError, EOFError, OSError) as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and _is_the_disks(error):
            raise
        archive.unlink(missing_ok=True)
        raise MissingError(
            f"the archive has no whole {file.member}: {error}. It was deleted.",
            fix="try again; then ask its publisher.",
        ) from error
    if file.sha256 and sha.hexdigest() != file.sha256:
        part.unlink()
        raise MissingError(f"{file.path} in the archive is not the one mimo knows.", fix="ask its publisher.")
    os.replace(part, target)
    archive.unlink()
    return sha.hexdigest()


def _write_receipt(place: Path, path: str, facts: dict) -> None:
    told = receipt_of(place) | {path: facts}
    part = place / f"{RECEIPT}.part"
    part.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, place / RECEIPT)


# ---------------------------------------------------------------------------------------------- asking


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The hub tells size and sha256 in the answer that points elsewhere; it has to be seen, not followed."""

    def redirect_request(self, *args: object, **more: object) -> None:
        return None


def _ask(weights: Weights, file: WeightsFile, place: Path, sleep: Callable[[float], None]) -> _Offer:
    """Ask for size, sha256 and tag."""
    if not weights.repo:
        url = weights.url if file.member else weights.url + quote(file.path)
        return _Offer(url, tag=url)
    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    url = f"{endpoint}/{weights.repo}/resolve/main/{quote(file.path)}"
    tries = 0
    while True:
        try:
            return _offer(url)
        except (OSError, HTTPException) as error:
            tries += 1
            _wait_or_give_up(error, f"{file.path} of {weights.name}", url, place, tries, sleep)


def _offer(url: str) -> _Offer:
    """Read the headers of a file on the hub; a repository that moved is followed."""
    for _ in range(5):
        try:
            with _open(url, {}, method="HEAD", opener=urllib.request.build_opener(_NoRedirect)) as answer:
                headers, status = answer.headers, answer.status
        except urllib.error.HTTPError as error:
            if not 300 <= error.code < 400:
                raise
            headers, status = error.headers, error.code
        away = headers.get("Location")
        if status < 300 or headers.get("X-Linked-Etag") or not away:
            break
        url = urljoin(url, away)
    tag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").removeprefix("W/").strip('"')
    size = headers.get("X-Linked-Size") or (headers.get("Content-Length") if status < 300 else None)
    return _Offer(url, int(size or 0), tag if re.fullmatch(r"[0-9a-f]{64}", tag) else "", tag or url)


def _open(
    url: str, headers: dict[str, str], *, method: str = "GET", opener: urllib.request.OpenerDirector | None = None
) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "mimo", **headers}, method=method)
    if token := _token(url):
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # the hub's alone, not whom it points to
    return (opener or urllib.request.build_opener()).open(request, timeout=TIMEOUT_S)


def _token(url: str) -> str | None:
    """The person's own token of the hub, if they are logged in; for the hub and nobody else."""
    if urlsplit(url).netloc != urlsplit(os.environ.get("HF_ENDPOINT", HUB)).netloc:
        return None
    from huggingface_hub import get_token

    return get_token()


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _is_the_disks(error: BaseException) -> bool:
    """Whether it is writing that failed, which another attempt does not mend."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def _wait_or_give_up(
    error: Exception, name: str, url: str, place: Path, tries: int, sleep: Callable[[float], None]
) -> None:
    """Wait for another attempt where one may help; else say what is the matter."""
    host = urlsplit(url).netloc
    again = f"type the same command again, it goes on where it stopped; or put the file into {place} by hand."
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            raise MissingError(
                f"{host} does not give {name} to just anybody ({error.code}).",
                fix="accept its licence on its page, then log in: hf auth login",
            ) from error
        if error.code in (404, 410):
            raise MissingError(
                f"{host} has no {name} ({error.code}: {url}).",
                fix=f"it may have moved; get it elsewhere and put it into {place}.",
            ) from error
        if error.code not in (408, 416, 429) and error.code < 500:
            raise MissingError(f"{host} refused {name} ({error.code} {error.reason}).", fix=again) from error
    if tries >= TRIES:
        busy = isinstance(error, urllib.error.HTTPError) and error.code == 429
        why = "asks to come back later (429)" if busy else f"does not deliver: {_reason(error)}"
        raise MissingError(f"{host} {why}; {name} was tried {tries} times.", fix=again) from error
    wait_s = 2.0 ** (tries - 1)
    if isinstance(error, urllib.error.HTTPError):
        with contextlib.suppress(TypeError, ValueError):
            wait_s = float(error.headers.get("Retry-After"))  # type: ignore[arg-type]
    sleep(min(wait_s, MAX_WAIT_S))


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__
