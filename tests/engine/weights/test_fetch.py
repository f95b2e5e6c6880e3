"""Downloads against a hub that breaks the line, lies, refuses or is busy: whole and true in the end, or not there."""

import hashlib
import io
import os
import tarfile
from dataclasses import replace

import pytest

from engine.errors import InputError, MissingError
from engine.weights.fetch import TRIES, pull, receipt_of
from engine.weights.find import look
from engine.weights.remember import digests

DATA = bytes(range(256)) * 10_000  # two and a half blocks
AT = "/someone/net/resolve/main/unet/weights.bin"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def mine(machine):
    return machine / "mine"


@pytest.fixture
def fetch(hub, net, mine, waits):
    hub.files = {"/someone/net/resolve/main/config.json": b"{}", AT: DATA}
    return lambda weights=net, **more: pull(weights, mine, sleep=waits.append, **more)


def assert_whole(mine):
    assert (mine / "net" / "unet" / "weights.bin").read_bytes() == DATA
    left = [path.name for path in (mine / "net").rglob("*") if path.is_file()]
    assert sorted(left) == [".mimo-weights.json", "config.json", "weights.bin"]  # no part, no tag


def test_a_plain_download(hub, fetch, mine, waits):
    told = []
    files = fetch(report=lambda *what: told.append(what))
    assert files == [mine / "net" / "config.json", mine / "net" / "unet" / "weights.bin"]
    assert_whole(mine)
    assert told[-1] == ("unet/weights.bin", len(DATA), len(DATA))
    assert waits == []
    assert receipt_of(mine / "net")["unet/weights.bin"]["sha256"] == hashlib.sha256(DATA).hexdigest()
    sent = hub.sent
    fetch()
    assert hub.sent == sent  # what is there is not fetched again


def test_a_line_that_breaks(hub, fetch, mine, waits):
    """Goes on with the byte after the last; the server sends each byte once."""
    hub.break_after = [2, 300_000, 100_000]  # config.json whole, then two cuts
    fetch()
    assert_whole(mine)
    ranges = [wanted for method, path, wanted, _ in hub.requests if method == "GET" and path == f"/cdn{AT}"]
    assert ranges == [None, "bytes=300000-", "bytes=400000-"]
    assert hub.sent == len(DATA) + 2


def test_a_killed_download_goes_on(hub, fetch, mine):
    def dies(path, done, total):
        if path.startswith("unet"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(report=dies)
    assert not (mine / "net" / "unet" / "weights.bin").exists()
    had = (mine / "net" / "unet" / "weights.bin.part").stat().st_size
    fetch()
    assert_whole(mine)
    assert had > 0
    assert hub.requests[-1][2] == f"bytes={had}-"


def test_a_part_of_another_file_is_not_gone_on_with(hub, fetch, mine):
    hub.break_after = [2, 1000, *[0] * TRIES]
    with pytest.raises(MissingError):
        fetch()
    hub.break_after = []
    hub.files[AT] = new = DATA[::-1]
    fetch()
    assert (mine / "net" / "unet" / "weights.bin").read_bytes() == new


def test_a_server_that_knows_no_ranges(hub, fetch, mine):
    hub.knows_ranges = False
    hub.break_after = [2, 300_000]
    fetch()
    assert_whole(mine)


def test_a_line_that_never_delivers(hub, fetch, waits):
    hub.break_after = [2, *[0] * 50]
    with pytest.raises(MissingError, match=f"does not deliver: .*was tried {TRIES} times") as refused:
        fetch()
    assert "goes on where it stopped" in refused.value.fix
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("on_hub", [True, False])
def test_bytes_that_are_not_what_was_promised(hub, fetch, net, mine, on_hub):
    """The hub's own word, or the table's: what does not match is deleted and named."""
    hub.on_hub = on_hub
    if on_hub:
        hub.told_sha256[AT] = "0" * 64
        weights = net
    else:
        weights = replace(net, files=(replace(net.files[1], sha256="0" * 64),))
    with pytest.raises(MissingError, match=r"not what was promised.*It was deleted"):
        fetch(weights)
    assert not list((mine / "net" / "unet").iterdir())


def test_another_file_than_the_table_knows(hub, fetch, net):
    weights = replace(net, files=(replace(net.files[1], sha256="0" * 64, size=7),))
    with pytest.raises(MissingError, match=r"offers another unet/weights\.bin"):
        fetch(weights)
    assert hub.sent == 0  # refused before a byte of it came


@pytest.mark.parametrize("code, says", [(404, "has no config.json"), (401, "hf auth login"), (451, "refused")])
def test_refusals(hub, fetch, waits, code, says):
    hub.answers = [code]
    with pytest.raises(MissingError) as refused:
        fetch()
    assert says in str(refused.value)
    assert waits == []


def test_too_many_requests(hub, fetch, mine, waits):
    """Waits as long as the server asks, up to a minute; gives up in words."""
    hub.answers, hub.retry_after = [429, 503], "7"
    fetch()
    assert_whole(mine)
    assert waits == [7, 7]
    hub.answers, hub.retry_after = [429] * 20, "3600"
    (mine / "net" / "config.json").unlink()
    with pytest.raises(MissingError, match="asks to come back later"):
        fetch()
    assert max(waits) == 60


def test_nobody_there(fetch, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(MissingError, match=r"127\.0\.0\.1:9 does not deliver"):
        fetch()


def test_offline(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
        fetch()
    assert hub.requests == []


def test_a_full_disk(fetch, mine, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="GB free"):
        fetch()


def test_the_token_stays_with_the_hub(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch()
    for _, path, _, authorization in hub.requests:
        assert authorization == (None if path.startswith("/cdn") else "Bearer hf_secret"), path


def test_a_file_in_an_archive(hub, fetch, net, mine):
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w:gz") as tar:
        for name, data in (("../evil", b"x"), ("logs/a=1.ckpt", DATA)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    hub.on_hub, hub.files["/data.tar.gz"] = False, inside.getvalue()
    address = os.environ["HF_ENDPOINT"]
    file = replace(net.files[0], path="a=1.ckpt", member="logs/a=1.ckpt")
    fetch(replace(net, repo="", url=f"{address}/data.tar.gz", files=(file,)))
    assert (mine / "net" / "a=1.ckpt").read_bytes() == DATA
    assert not (mine / "evil").exists() and not list((mine / "net").glob("*.part"))
    lost = replace(file, path="b.ckpt", member="logs/b.ckpt")
    with pytest.raises(MissingError, match=r"no whole logs/b\.ckpt"):
        fetch(replace(net, repo="", url=f"{address}/data.tar.gz", files=(lost,)))


def test_what_was_fetched_is_not_read_again(hub, fetch, machine, monkeypatch):
    from engine.weights import known

    hub.files |= {f"/depth-anything/Depth-Anything-V2-Small-hf/resolve/main/{name}": name.encode()
                  for name in ("config.json", "preprocessor_config.json", "model.safetensors")}  # fmt: skip
    fetch(known()["depth-anything-v2-small"])
    found = look("depth-anything-v2-small")
    monkeypatch.setattr("engine.weights.remember.file_sha256", None)  # not called: the download told
    assert digests(found)[2] == hashlib.sha256(b"model.safetensors").hexdigest()
