"""LibreOffice as the reader whom recipients have: one process for a whole module, driven by a macro.

The process makes three documents, waits until they have been labelled and encrypted, opens each with the right and a
wrong password and writes down what it saw.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

KINDS = {
    "docx": ("swriter", "MS Word 2007 XML"),
    "xlsx": ("scalc", "Calc MS Excel 2007 XML"),
    "pptx": ("simpress", "Impress MS PowerPoint 2007 XML"),
}
SECRET = "salary 90000"

_MACRO = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1" script:language="StarBasic">
Function Setting(label As String, content) As Object
  Dim made As New com.sun.star.beans.PropertyValue
  made.Name = label
  made.Value = content
  Setting = made
End Function

Function TextOf(document) As String
  If document.supportsService("com.sun.star.text.TextDocument") Then
    TextOf = document.Text.getString()
  ElseIf document.supportsService("com.sun.star.sheet.SpreadsheetDocument") Then
    TextOf = document.Sheets.getByIndex(0).getCellByPosition(0, 0).getString()
  Else
    slide = document.DrawPages.getByIndex(0)
    TextOf = slide.getByIndex(slide.Count - 1).getString()
  End If
End Function

Sub Make(kind As String, exporter As String, path As String)
  document = StarDesktop.loadComponentFromURL("private:factory/" &amp; kind, "_blank", 0, _
    Array(Setting("Hidden", True)))
  If kind = "swriter" Then
    document.Text.setString("SECRET")
  ElseIf kind = "scalc" Then
    document.Sheets.getByIndex(0).getCellByPosition(0, 0).setString("SECRET")
  Else
    shape = document.createInstance("com.sun.star.drawing.TextShape")
    document.DrawPages.getByIndex(0).add(shape)
    shape.setString("SECRET")
  End If
  document.storeToURL(ConvertToURL(path), Array(Setting("FilterName", exporter)))
  document.close(True)
End Sub

Sub Look(path As String, password As String, channel As Integer)
  On Error GoTo refused
  document = StarDesktop.loadComponentFromURL(ConvertToURL(path), "_blank", 0, _
    Array(Setting("Hidden", True), Setting("Password", password)))
  If IsNull(document) Then GoTo refused
  properties = document.DocumentProperties.UserDefinedProperties
  told = ""
  For Each entry In properties.PropertySetInfo.Properties
    told = told &amp; entry.Name &amp; "=" &amp; properties.getPropertyValue(entry.Name) &amp; ";"
  Next
  Print #channel, "opened|" &amp; path &amp; "|" &amp; TextOf(document) &amp; "|" &amp; told
  If document.supportsService("com.sun.star.text.TextDocument") Then
    document.storeToURL(ConvertToURL(path &amp; ".odt"), Array(Setting("FilterName", "writer8")))
    document.storeToURL(ConvertToURL(path &amp; ".doc"), Array(Setting("FilterName", "MS Word 97")))
  End If
  document.close(True)
  Exit Sub
refused:
  Print #channel, "refused|" &amp; path &amp; "||"
End Sub

Sub Main
  MAKE
  channel = FreeFile
  Open "FOLDER/made" For Output As #channel
  Close #channel
  For turns = 1 To 400
    If FileExists("FOLDER/ready") Then Exit For
    Wait 50
  Next
  channel = FreeFile
  Open "FOLDER/seen.new" For Output As #channel
  LOOK
  Close #channel
  Name "FOLDER/seen.new" As "FOLDER/seen"
  StarDesktop.terminate()
End Sub
</script:module>
"""


def look(folder: Path, password: str, change: Callable[[str, bytes], Mapping[str, bytes]]) -> dict[str, list[str]]:
    """What LibreOffice saw: a file's name and `?wrong` for the wrong password, to `[state, text, properties]`.

    `change` gets each document's extension and bytes and gives the files to open.
    """
    basic = folder / "profile" / "user" / "basic" / "Standard"
    basic.mkdir(parents=True)
    files = folder / "files"
    files.mkdir()
    made = {kind: files / f"made.{kind}" for kind in KINDS}
    make = "\n  ".join(f'Make("{kind}", "{name}", "{made[each]}")' for each, (kind, name) in KINDS.items())
    # The names are not known yet: the macro opens what it finds.
    looking = (
        f'found = Dir("{files}/out-*")\n  Dim names(99) As String\n  count = 0\n  Do While found &lt;&gt; ""\n'
        "    names(count) = found\n    count = count + 1\n    found = Dir\n  Loop\n  For at = 0 To count - 1\n"
        f'    Look("{files}/" &amp; names(at), "{password}", channel)\n'
        f'    Look("{files}/" &amp; names(at), "wrong-{password}", channel)\n  Next'
    )
    macro = _MACRO.replace("MAKE", make, 1).replace("LOOK", looking, 1).replace("FOLDER", str(folder))
    macro = macro.replace("SECRET", SECRET)
    (basic / "Module1.xba").write_text(macro)
    library = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE library:library PUBLIC '
        '"-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "library.dtd">\n<library:library '
        'xmlns:library="http://openoffice.org/2000/library" library:name="Standard" library:readonly="false" '
        'library:passwordprotected="false"><library:element library:name="Module1"/></library:library>\n'
    )
    (basic / "script.xlb").write_text(library)
    (basic / "dialog.xlb").write_text(library.replace('<library:element library:name="Module1"/>', ""))
    for kind in ("script", "dialog"):
        place = f"$(USER)/basic/Standard/{kind}.xlb/"
        (basic.parent / f"{kind}.xlc").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE library:libraries PUBLIC '
            '"-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "libraries.dtd">\n<library:libraries '
            'xmlns:library="http://openoffice.org/2000/library" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f'<library:library library:name="Standard" xlink:href="{place}" xlink:type="simple" library:link="false"/>'
            "</library:libraries>\n"
        )
    # A profile that is not set up yet would be made anew, our macro with it.
    (folder / "profile" / "user" / "registrymodifications.xcu").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<oor:items xmlns:oor="http://openoffice.org/2001/registry">'
        '<item oor:path="/org.openoffice.Setup/Office"><prop oor:name="ooSetupInstCompleted" oor:op="fuse">'
        "<value>true</value></prop></item></oor:items>\n"
    )
    command = [
        shutil.which("soffice") or "soffice",
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        *("--headless", "--norestore", "--nologo", "macro:///Standard.Module1.Main"),
    ]
    environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    with (folder / "soffice.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _until(folder / "made", process)
            for kind, path in made.items():
                for name, data in change(kind, path.read_bytes()).items():
                    (files / f"out-{name}").write_bytes(data)
            (folder / "ready").touch()
            _until(folder / "seen", process)
            process.wait(30)
        finally:
            process.kill()
            process.wait()
    seen: dict[str, list[str]] = {}
    for line in (folder / "seen").read_text("utf-8").splitlines():
        state, path_, text, properties = line.split("|", 3)
        name = Path(path_).name.removeprefix("out-")
        seen[f"{name}?wrong" if name in seen else name] = [state, text, properties]
    return seen


def _until(path: Path, process: subprocess.Popen[bytes]) -> None:
    import time

    deadline = time.monotonic() + 25
    while not path.exists():
        if time.monotonic() > deadline or process.poll() not in (None, 0):
            raise AssertionError(f"LibreOffice has not written {path.name}; it ended with {process.poll()}")
        time.sleep(0.05)
