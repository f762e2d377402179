"""Keep the session in the proxy: host names in headers and bodies, both ways. Bytes in, bytes out.

    hosts      app.example <-> app.example.<suffix>, exactly; built once per snapshot
    context    what is known of one exchange
    headers    `request_headers`, `response_headers`, `page_policy_of`, `target_to_origin`
    cookies    the application's and ours, kept apart
    csp        a page's own security policy, mapped and opened for the guard alone
    body       `rewriter_for`, `request_rewriter_for`, `recoded`: what is changed at all
    html, scan, multipart    the rewriters, push style; any chunking gives the same bytes
    codings    gzip, deflate, br, zstd undone and redone
    guard      the script in the page

One response: `page_policy_of` on the application's own fields, then `response_headers`, then `rewriter_for`, and
around it `recoded`; when there is a rewriter, `without_body_facts` too. A mode without a suffix uses an empty
`HostMap`: only the guard comes in, and cookies and forged headers are kept apart as ever.
"""
