"""The pages of the error book about files, keys and our certificate authority, as plain rows for `casb.codes`.

Each row is code, meaning, cause, cure, example.
"""

from __future__ import annotations

ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "A001",
        "the certificate authority cannot be read",
        "`authority.pem` is not in the folder that `authority` in casb.yaml names, or this user may not read it.",
        "Run `casb certs init`, or start casb as the user who owns the folder.",
        "",
    ),
    (
        "A002",
        "others can read the certificate authority's key",
        "The mode of `authority.pem` lets group or others read it. Whoever has read it can impersonate every site to "
        "browsers that trust the authority.",
        "If nobody can have read it: chmod 600. Otherwise remove it, run `casb certs init` and trust the new one.",
        "",
    ),
    (
        "A003",
        "the certificate authority cannot be used",
        "`authority.pem` holds no private key, no certificate of that key, one that is expired, or one that may not "
        "sign certificates.",
        "Put in the key, its certificate and any intermediates, as PEM; or remove the file and run `casb certs init`.",
        "",
    ),
    (
        "F001",
        "not an age container",
        "The first line of the file is not `age-encryption.org/v1`: it is another file, or one changed in transit.",
        "Open the file that was downloaded, unchanged.",
        "",
    ),
    (
        "F002",
        "the header of the container is damaged",
        "The header is too long, malformed, or was changed after it was written.",
        "Download the file again.",
        "",
    ),
    (
        "F003",
        "the container was not made by this deployment",
        "It carries no key of ours, or one that was changed or taken from another file.",
        "Open it where it was made. With the recovery key, stock age opens it: `age -d -i recovery.key FILE`.",
        "",
    ),
    (
        "F004",
        "the key that closed the file is not in the key ring",
        "The file was made by another deployment, or `keyring.json` in the data folder was lost and made anew.",
        "Restore `keyring.json` from the backup, or open the file with the recovery key.",
        "",
    ),
    (
        "F005",
        "the content was changed after it was encrypted",
        "A part of the file is not what was written. Nothing from that part on is handed out.",
        "Download the file again. If it happens again, somebody or something is changing files.",
        "",
    ),
    (
        "F006",
        "a part of the container is missing",
        "The file ends too early, as after a download that was broken off.",
        "Download the file again.",
        "",
    ),
    (
        "F007",
        "the file was handed over to somebody else",
        "Protected files open for the person who downloaded them and for nobody else.",
        "Ask that person, or download the file from the app yourself.",
        "",
    ),
    (
        "F008",
        "the file cannot be protected as ordered",
        "The order names no person, or an identifier in it is malformed.",
        "This is a fault in casb: please report it.",
        "",
    ),
    (
        "F009",
        "not an age recipient",
        "`recovery_recipient` is no X25519 recipient of age; plug-in and post-quantum recipients are not supported.",
        "`age-keygen -o recovery.key` prints one. Keep recovery.key off line.",
        "recovery_recipient: AGE-SECRET-KEY-1…",
    ),
    (
        "F010",
        "the opened file cannot be written",
        "The folder is missing, read-only or full, or the name is taken.",
        "Name another place with -o.",
        "",
    ),
    (
        "F101",
        "the file is damaged",
        "Its parts are not where its directory says, or cannot be read.",
        "Try the file in its own program. Policies decide with `unscannable` what happens to such files.",
        "",
    ),
    (
        "F102",
        "the file unpacks out of all proportion",
        "It is, or looks like, a bomb: reading it on would cost too much.",
        "Policies decide with `unscannable` what happens to such files.",
        "",
    ),
    (
        "F103",
        "the file is encrypted",
        "It is protected by a password, so that its content cannot be looked at.",
        "Policies decide with `unscannable` what happens to such files.",
        "",
    ),
    (
        "F104",
        "an XML part declares a document type",
        "Office files never do; attacks with entities do.",
        "Save the file anew in its own program.",
        "",
    ),
    (
        "F106",
        "a member of an archive is packed in a way that cannot be read here",
        "ZIP has methods that few programs know, such as Deflate64, PPMd and those of one vendor.",
        "Pack the file anew with the usual method (Deflate). Policies decide with `unscannable` what happens to such "
        "files.",
        "",
    ),
    (
        "F301",
        "the content cannot be masked",
        "Its media type or encoding is none that casb can mask: only text, CSV, JSON, HTML and event streams are.",
        "Nothing: the `otherwise` of the policy's `redact` was done instead.",
        "",
    ),
    (
        "K001",
        "the key ring cannot be read",
        "`keyring.json` is not in the data folder, or this user may not read it.",
        "Start casb as the user who owns the data folder. The file is made when the first file is protected.",
        "",
    ),
    (
        "K002",
        "others can read the key ring",
        "The mode of `keyring.json` lets group or others read it. Whoever has read it can open every protected file.",
        "chmod 600 the file; if somebody can have read it, treat the protected files as open.",
        "",
    ),
    (
        "K003",
        "the key ring is damaged",
        "`keyring.json` is not what casb writes.",
        "Restore it from the backup. Without it no protected file opens again but with the recovery key.",
        "",
    ),
    (
        "K004",
        "a file cannot be written",
        "The folder is missing, read-only or full.",
        "Make room, or let the user who runs casb write there.",
        "",
    ),
)
