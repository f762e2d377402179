"""The pages of the error book about SAML, as plain rows for `casb.codes`.

Each row is code, meaning, cause, cure, example.
"""

from __future__ import annotations

_PROVIDER = "Compare the address, entity id and certificate at the identity provider with what `casb saml show` prints."
_ATTACK = "Nothing: sign in again. Several of these from one address are an attack, and worth a look."
_CLOCK = "Set the clocks of the identity provider and of this machine by NTP; then sign in again."

ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "T040",
        "a SAML document is too large or not encoded as it must be",
        "It is over 1 MB, not UTF-8, or not canonical base64.",
        _ATTACK,
        "",
    ),
    (
        "T041",
        "a SAML document holds what XML may not hold here",
        "A DOCTYPE, entity, comment, CDATA section or processing instruction is in it, or it is not well-formed. "
        "Comments and entities have let two readers see different names in one signed document.",
        _ATTACK,
        "",
    ),
    (
        "T042",
        "the structure of a SAML response is not what it must be",
        "It has not exactly one assertion in the response, or elements where none belong: signature wrapping.",
        _ATTACK,
        "",
    ),
    (
        "T043",
        "an id is used twice in a SAML document",
        "A signature names what it covers by id, so an id that stands twice could cover something else.",
        _ATTACK,
        "",
    ),
    (
        "T044",
        "a SAML message is not signed",
        "Neither the response nor the assertion carries a signature, or a request that must be signed is not.",
        "Have the identity provider sign its assertions; for an app's request, see `requests` of its `saml`.",
        "",
    ),
    (
        "T045",
        "a SAML signature has a shape that is not allowed",
        "SHA-1, HMAC, another transform or canonicalization, several references, hidden objects, or a wrong place.",
        "Set the identity provider to RSA or ECDSA with SHA-256 and exclusive canonicalization.",
        "",
    ),
    (
        "T046",
        "a SAML signature is wrong",
        "The message was changed, or signed by a key whose certificate is not configured.",
        "If the identity provider has a new certificate, add it beside the old one, or name its metadata address.",
        "",
    ),
    (
        "T047",
        "a SAML assertion is encrypted",
        "The identity provider encrypts what it sends; that is not supported.",
        "Switch encryption off for this application at the identity provider: it is signed, and sent over TLS.",
        "",
    ),
    (
        "T048",
        "a SAML certificate cannot be used",
        "It is no certificate, its key is shorter than RSA 2048 or EC 256 bits, or there is none.",
        "Export the signing certificate of the identity provider again, as PEM.",
        "",
    ),
    (
        "T049",
        "the identity provider refused the sign-in",
        "Its response has a status other than Success: the person gave up, or may not sign in there.",
        "Look into the identity provider's own sign-in log.",
        "",
    ),
    ("T050", "a SAML message comes from somebody else", "Its Issuer is not the configured entity id.", _PROVIDER, ""),
    (
        "T051",
        "a SAML message is meant for another address",
        "Its Destination or Recipient is not the address that it came in at.",
        _PROVIDER,
        "",
    ),
    (
        "T052",
        "a SAML response does not answer a request of this browser",
        "InResponseTo names another request, or nobody asked and the app does not allow that (`idp_initiated`).",
        "Open the app again; to start at the identity provider, allow it with `saml: {idp_initiated: true}`.",
        "",
    ),
    (
        "T053",
        "a SAML message is too old, too new or lives too long",
        "Its times are out of the window of a minute, or the session at the identity provider is over.",
        _CLOCK,
        "",
    ),
    ("T054", "a SAML assertion is meant for another audience", "Its AudienceRestriction is not ours.", _PROVIDER, ""),
    (
        "T055",
        "a SAML assertion is not confirmed for its bearer",
        "It has no SubjectConfirmation of the method bearer.",
        "Use the Web Browser SSO profile at the identity provider.",
        "",
    ),
    (
        "T056",
        "a SAML assertion does not say properly who it is about",
        "The NameID, an attribute or the authentication statement is missing, malformed or too long; or the name is a "
        "transient one and no attribute is configured that stays the same.",
        "Have the identity provider send a persistent NameID, or name an attribute with `subject` of the provider.",
        "",
    ),
    (
        "T057",
        "a SAML message did not arrive as a binding says",
        "A parameter is there twice, the message is not deflated, or it is too large when inflated.",
        _ATTACK,
        "",
    ),
    (
        "T058",
        "a SAML request is malformed",
        "It is of another kind, wants an answer by another binding than POST, or lacks what it must have.",
        "Set the app to the bindings of our metadata (`casb saml metadata APP`).",
        "",
    ),
    (
        "T059",
        "SAML metadata cannot be used",
        "It is not metadata of the role, out of date, not signed as wanted, or lacks addresses or certificates.",
        "Get it anew from the identity provider or the app.",
        "saml: {metadata: app.xml}",
    ),
    (
        "T060",
        "a SAML message was used before",
        "An assertion or request is accepted once.",
        "Open the app again; a message seen twice is a replay, or the back button.",
        "",
    ),
    (
        "T061",
        "there is no such SAML app",
        "The address names an app that does not exist, or has no `saml` with metadata.",
        "Correct the address, or add `saml` to the app's file; `casb saml show` lists the addresses.",
        "",
    ),
    (
        "T062",
        "an app wants its answer at an address that is not its own",
        "The AssertionConsumerServiceURL or its index is not in the app's metadata, or not on a host of the app.",
        "Renew the app's metadata; list the host under `domains` of the app.",
        "",
    ),
    (
        "T063",
        "a person has nothing that the app is to be told as their name",
        "The attribute that `name_id` of the app names was not sent by the identity provider.",
        "Have the provider send it, or name another source.",
        "saml: {name_id: {from: employee-number}}",
    ),
    (
        "C192",
        "SAML is not installed",
        "The deployment uses SAML, and the packages of the extra are not there.",
        "Install them: pip install 'casb[saml]'.",
        "",
    ),
)
