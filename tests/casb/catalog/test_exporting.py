import csv
import io

import orjson
import yaml

from casb.catalog.exporting import FORMATS, export_entry
from catalog_support import app, inventory

NASTY = inventory(app("a", "a.example", vendor='=HYPERLINK("https://evil.test")', saml=True))


def test_a_spreadsheet_gets_no_formula() -> None:
    text = b"".join(FORMATS["csv"](NASTY)).decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["vendor"].startswith("'=")
    assert (row["saml"], row["hipaa"]) == ("yes", "")


def test_every_form_with_nothing_to_say() -> None:
    assert orjson.loads(b"".join(FORMATS["json"]([]))) == []
    assert yaml.safe_load(b"".join(FORMATS["yaml"]([]))) == {"apps": []}
    assert b"".join(FORMATS["csv"]([])).startswith(b"id,name,vendor")


def test_values_keep_their_provenance() -> None:
    (entry,) = NASTY
    assert export_entry(entry)["facts"] == {
        "saml": {"value": True, "source": "vendor-documentation", "as_of": "2025-06"}
    }


def test_many_apps_are_one_document() -> None:
    many = inventory(*(app(f"a{number}", f"a{number}.example") for number in range(1001)))
    assert len(yaml.load(b"".join(FORMATS["yaml"](many)), Loader=yaml.CSafeLoader)["apps"]) == 1001
    assert len(orjson.loads(b"".join(FORMATS["json"](many)))) == 1001
