"""Content codings: undone, redone, bounded."""

from __future__ import annotations

import gzip
import zlib

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest
import zstandard

from casb.errors import ContentError
from casb.rewrite.codings import CODES, choose, decoder_for, encoder_for

TEXT = b"Some text of an application. " * 500


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


SAMPLES = {
    "gzip": gzip.compress(TEXT),
    "X-GZIP": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "deflate": zlib.compress(TEXT),
    "deflate ": raw_deflate(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:]),
    "gzip, br": brotli.compress(gzip.compress(TEXT)),
    "identity, gzip": gzip.compress(TEXT),
}


def decode(coding: str, data: bytes, step: int, **bounds: int) -> bytes:
    decoder = decoder_for(coding, **bounds)
    assert decoder is not None
    return b"".join([decoder.feed(data[at : at + step]) for at in range(0, len(data), step)] + [decoder.finish()])


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("coding", SAMPLES)
def test_it_decodes(coding: str, step: int) -> None:
    assert decode(coding, SAMPLES[coding], step) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_an_early_end_is_told(coding: str) -> None:
    with pytest.raises(ContentError) as caught:
        decode(coding, SAMPLES[coding][:-12], 50)
    assert caught.value.code == "W003"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_an_empty_body_is_no_error(coding: str) -> None:
    assert decode(coding, b"", 1) == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_lie_is_told(coding: str) -> None:
    with pytest.raises(ContentError) as caught:
        decode(coding, b"<!doctype html><p>not coded at all, whatever the header says" * 9, 100)
    assert caught.value.code in ("W001", "W003")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_follows_the_end_is_ignored(coding: str) -> None:
    assert decode(coding, SAMPLES[coding] + b"\x00trailing", 100_000) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_is_stopped(coding: str) -> None:
    zeros = bytes(40 * 1024 * 1024)
    bomb = {"gzip": gzip.compress, "br": lambda data: brotli.compress(data, quality=1), "zstd": zstandard.compress}[
        coding
    ](zeros)
    with pytest.raises(ContentError) as caught:
        decode(coding, bomb, 65536, ratio=200)
    assert caught.value.code == "W002"


@pytest.mark.parametrize("step", [1, 100_000])
def test_what_follows_brotli_is_an_error(step: int) -> None:
    with pytest.raises(ContentError) as caught:
        decode("br", SAMPLES["br"] + b"trailing", step)
    assert caught.value.code == "W001"


def test_a_limit_is_kept() -> None:
    with pytest.raises(ContentError) as caught:
        decode("gzip", SAMPLES["gzip"], 65536, limit=1000)
    assert caught.value.code == "W002"


@pytest.mark.parametrize("coding", ["compress", "dcb", "gzip, exi", "gzip, gzip, gzip, gzip"])
def test_an_unknown_coding_is_refused(coding: str) -> None:
    with pytest.raises(ContentError) as caught:
        decoder_for(coding)
    assert caught.value.code == "W004" and caught.value.message == CODES["W004"]


@pytest.mark.parametrize("coding", ["", "identity", " , Identity"])
def test_nothing_to_undo(coding: str) -> None:
    assert decoder_for(coding) is None


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_flushing_encoder_gives_every_chunk_at_once(coding: str) -> None:
    encoder, decoder = encoder_for(coding, flush=True), decoder_for(coding)
    assert encoder and decoder
    assert decoder.feed(encoder.feed(b"data: 1\n\n")) == b"data: 1\n\n"
    assert decoder.feed(encoder.feed(b"data: 2\n\n") + encoder.finish()) == b"data: 2\n\n"


def test_no_encoder_for_the_rest() -> None:
    assert encoder_for("") is None and encoder_for("br") is None


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0", "gzip"),
        ("gzip; q=0.0, br", ""),
        ("GZIP", "gzip"),
        ("", ""),
        ("*", ""),
    ],
)
def test_choose(accept: str, expected: str) -> None:
    assert choose(accept) == expected
