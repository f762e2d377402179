import pytest

from casb.config.units import byte_count, seconds


@pytest.mark.parametrize(
    ("text", "number"), [("90s", 90), ("60m", 3600), ("10h", 36000), ("14d", 1209600), ("1 h", 3600)]
)
def test_seconds(text: str, number: int) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize(
    "text", ["", "60", "1.5h", "-1s", "1w", "60m\n", "m", "1h30m", "9999999999s", "\N{ARABIC-INDIC DIGIT ONE}s"]
)
def test_seconds_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


@pytest.mark.parametrize(("text", "number"), [("1B", 1), ("512KB", 524288), ("50MB", 52428800), ("5 GB", 5368709120)])
def test_byte_count(text: str, number: int) -> None:
    assert byte_count(text) == number


@pytest.mark.parametrize("text", ["", "50", "50M", "50mb", "-1MB", "1TB", "1.5MB"])
def test_byte_count_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        byte_count(text)
