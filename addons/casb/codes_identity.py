"""The pages of the error book about devices and groups, as plain rows for `casb.codes`.

Each row is code, meaning, cause, cure, example.
"""

from __future__ import annotations

_CERTIFICATE = "The device counts as unmanaged. Look at the certificate that it presents, and at `client_certificates`."

ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "C260",
        "no authority for device certificates",
        "`client_certificates` is there and names nobody whose certificates count.",
        "Name PEM files of your device authorities under `anchors`.",
        "client_certificates: {anchors: []}",
    ),
    (
        "C261",
        "revocation cannot be checked",
        "Revoked certificates are to be refused, and neither lists nor a responder are named.",
        "Name `crls` or `ocsp`, or write `revocation: ignore` and mean it.",
        "client_certificates: {anchors: [ca.pem]}",
    ),
    (
        "C262",
        "a certificate header that anybody could send",
        "The header is believed from trusted proxies only, and there are none.",
        "Name the addresses of the proxies in front under `trusted_proxies`, or remove `header`.",
        "client_certificates: {header: x-ssl-client-cert}",
    ),
    (
        "C263",
        "a rule for certificates cannot be used",
        "It is empty, or its object identifier is none.",
        "Give at least one of issuer, subject, san and oid.",
        "rules: [{oid: clientAuth}]",
    ),
    (
        "C264",
        "the expression for device ids cannot be used",
        "It is no regular expression, longer than 200 characters, or has more than one group.",
        "Put the id into one group: `IntuneDevice://(.+)`.",
        "device_id_pattern: '(a)(b)'",
    ),
    (
        "C265",
        "`graph` cannot be used",
        "The provider is not Entra, nothing proves us to Graph, or an id of a group is none.",
        "Give client_id and client_certificate of an app registration with application permissions.",
        "graph: {client_id: x}",
    ),
    (
        "C266",
        "a scope rule is about nobody",
        "It names neither groups nor users.",
        "Name them, or remove the rule.",
        "scope: {exclude: [{apps: [sales]}]}",
    ),
    (
        "I030",
        "no client certificate",
        "The browser had none of the authorities asked for, or sent none.",
        _CERTIFICATE,
        "",
    ),
    (
        "I031",
        "a client certificate cannot be read",
        "It, or the header that a proxy in front put it into, is malformed, ambiguous or too large.",
        _CERTIFICATE,
        "",
    ),
    ("I032", "a client certificate is not valid now", "It has expired, or begins later.", _CERTIFICATE, ""),
    (
        "I033",
        "a client certificate leads nowhere",
        "It was not issued, over the intermediates known, by one of the anchors, or is not for client authentication.",
        _CERTIFICATE,
        "",
    ),
    ("I034", "a client certificate fits no rule", "`rules` describe other certificates.", _CERTIFICATE, ""),
    ("I035", "a client certificate was revoked", "Its issuer says so.", _CERTIFICATE, ""),
    (
        "I036",
        "nobody can tell whether a client certificate was revoked",
        "The list is stale, missing or not the issuer's, or the responder is away or not entitled to answer.",
        "Renew the list, mend the way to it, or write `revocation: prefer`. Until then the device counts as unmanaged.",
        "",
    ),
    (
        "I037",
        "the device check cannot be used",
        "Its address was used before, is too old, or belongs to another browser or session.",
        "Open the app again.",
        "",
    ),
    (
        "I038",
        "device certificates cannot be checked",
        "A file of `client_certificates` is missing or unreadable, so that every device counts as unmanaged.",
        "Mend the file that the message names; it is read again by itself.",
        "",
    ),
    (
        "I040",
        "Microsoft Graph does not answer",
        "It is down, limits us, or refuses our application. Groups that are not known then never exempt anybody.",
        "Check the application's secret or certificate, its permissions, and the way to Graph.",
        "",
    ),
    (
        "I041",
        "the directory no longer knows the person",
        "The account was deleted, or its sessions were revoked, since the token was issued.",
        "Nothing: the sign-in is refused.",
        "",
    ),
    (
        "I042",
        "nothing guards an authentication context",
        "No enabled Conditional Access policy with that context demands a compliant or hybrid joined device; Entra "
        "gives such a context to everybody. Its device tag counts as absent.",
        "Enable the policy (not report-only), for all users, with the grant for devices alone or with all required.",
        "",
    ),
    (
        "I043",
        "a file of devices or groups cannot be read",
        "It is missing or malformed. Devices then have no tag of it; groups are unknown, which never exempts anybody.",
        "Mend the line that the message names; the file is read again by itself.",
        "",
    ),
)
