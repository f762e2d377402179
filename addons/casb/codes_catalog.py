"""The pages of the error book that are about the app catalog, as plain rows for `casb.codes`.

Each row is code, meaning, cause, cure, example.
"""

from __future__ import annotations

ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "C201",
        "not a category",
        "A catalog file is named after a category of the catalog, and `also` names further ones.",
        "Use an id such as cloud_storage; `casb catalog categories` lists them all.",
        "also: [storage]",
    ),
    (
        "C202",
        "a field of an app is empty, too long or of the wrong form",
        "Names, vendors and descriptions are texts of limited length; dates are YYYY-MM or YYYY-MM-DD.",
        "Correct the value at the place named.",
        "as_of: June 2025",
    ),
    (
        "C203",
        "not an app's id",
        "Ids stand in addresses, files and policies.",
        "Use lower-case letters, digits and hyphens: dropbox, adobe-sign.",
        "id: Adobe Sign",
    ),
    (
        "C204",
        "not a domain or network of an app",
        "A domain is a host, a wildcard or either with a path; a network is a public address range. No app has none.",
        "Write example.com, *.example.com, example.com/path, or 192.0.2.0/24.",
        'domains: ["https://example.com/"]',
    ),
    (
        "C205",
        "a public suffix",
        "Everybody can have names below com or co.uk, so no app owns such a name.",
        "Write the app's own name: example.co.uk.",
        'domains: ["*.co.uk"]',
    ),
    (
        "C206",
        "taken already",
        "Two apps of the catalog share an id, a name, a network or a number of the reference product.",
        "Keep one of the two; the message says where the first one is.",
        "",
    ),
    (
        "C207",
        "a domain belongs to two apps",
        "The same host, wildcard or path stands in two places, so nobody could tell whose traffic it is.",
        "Leave it where it belongs, or make it more specific: files.example.com, example.com/drive.",
        "",
    ),
    (
        "C208",
        "not a kind of source",
        "Every value says where it comes from, in a few words that are the same everywhere.",
        "Use one of the kinds that the message names.",
        "facts: {wikipedia: {founded: 2007}}",
    ),
    (
        "C209",
        "not a factor",
        "The catalog describes apps by a fixed list of factors.",
        "Correct the name; `casb catalog factors` lists them all.",
        "facts: {press: {breach: 2024-04-24}}",
    ),
    (
        "C210",
        "not a value of the factor",
        "Each factor has a kind: true or false, one word of a list, a date, a year, a number from 0 to 10, an address.",
        "Write a value of that kind, n/a where the factor allows it, or leave out what is not known.",
        "facts: {vendor-documentation: {saml: maybe}}",
    ),
    (
        "C211",
        "a factor stands twice",
        "The same factor is under two sources of one app.",
        "Keep the better source.",
        "",
    ),
    (
        "C212",
        "a domain lies below another one",
        "A wildcard covers it already: its own app's, and it is superfluous; another vendor's, and one is wrong.",
        "Remove it, or narrow the wildcard.",
        'domains: ["*.example.com", "www.example.com"]',
    ),
    (
        "C213",
        "a catalog file cannot be compiled",
        "It was changed after it was checked.",
        "Run `casb catalog check`, which names every mistake with its place.",
        "",
    ),
)
