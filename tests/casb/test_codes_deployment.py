import re
from pathlib import Path

import pytest

import casb
from casb.codes import CODES
from casb.codes_content import ROWS as CONTENT
from casb.codes_deployment import ROWS
from casb.codes_discovery import ROWS as DISCOVERY

SOURCES = Path(casb.__file__).parent


def test_every_code_that_is_raised_has_its_page_and_every_page_its_code() -> None:
    files = [*(SOURCES / "config").glob("*.py"), *(SOURCES / "store").glob("*.py"), SOURCES / "catalog" / "bodies.py"]
    files += [SOURCES / "commands" / "record.py", SOURCES / "control" / "snapshot.py"]
    files += (SOURCES / "inspection" / "info_types").glob("*.py")
    raised = {code for file in files for code in re.findall(r'"(C[01][0-9]{2}|U[0-9]{3})"', file.read_text())}
    of_discovery = {row[0] for row in DISCOVERY}
    assert raised - of_discovery - {row[0] for row in CONTENT} == {row[0] for row in ROWS}
    assert raised >= {code for code in of_discovery if code.startswith("C")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_pages(row: tuple[str, str, str, str, str]) -> None:
    code, meaning, cause, cure, _ = row
    assert CODES[code].meaning == meaning
    assert not meaning.endswith(".") and cause.endswith(".") and cure.endswith((".", "age1."))
