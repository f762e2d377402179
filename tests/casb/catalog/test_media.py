import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.media import Kind, kind_of


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("text/html", Kind.PAGE),
        ("application/xhtml+xml", Kind.PAGE),
        ("application/json", Kind.DATA),
        ("application/vnd.api+json", Kind.DATA),
        ("application/grpc-web+proto", Kind.DATA),
        ("text/event-stream", Kind.DATA),
        ("multipart/x-mixed-replace", Kind.DATA),
        ("multipart/byteranges", Kind.FILE),
        ("text/css", Kind.ASSET),
        ("text/javascript", Kind.ASSET),
        ("application/manifest+json", Kind.ASSET),
        ("font/woff2", Kind.ASSET),
        ("image/png", Kind.PICTURE),
        ("image/svg+xml", Kind.PICTURE),
        ("image/vnd.adobe.photoshop", Kind.FILE),
        ("image/tiff", Kind.FILE),
        ("video/mp4", Kind.PICTURE),
        ("text/plain", Kind.TEXT),
        ("text/markdown", Kind.TEXT),
        ("text/csv", Kind.FILE),
        ("application/pdf", Kind.FILE),
        ("application/octet-stream", Kind.FILE),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Kind.FILE),
        ("application/x-invented-by-the-origin", Kind.FILE),
        ("message/rfc822", Kind.FILE),
        ("rubbish", Kind.FILE),
        ("", Kind.UNSAID),
    ],
)
def test_kind_of(media_type: str, kind: Kind) -> None:
    assert kind_of(media_type) is kind


@given(st.text(min_size=1, max_size=20))
def test_what_is_not_known_is_a_file(sub: str) -> None:
    assert kind_of(f"application/x-nobody-knows-{sub}".removesuffix("+json").removesuffix("+xml")) in (
        Kind.FILE,
        Kind.DATA,
    )
    assert kind_of(f"nobody-knows/{sub.replace('+', '-')}") is Kind.FILE
