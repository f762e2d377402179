from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.config import Draft, Outside, build, draft, is_policy, version_of
from casb.errors import Problems
from casb.model.app import AppTag, Rewrite, Signature, Upstream, View

PROVIDER = "{id: idp, authority: 'https://idp.example', client_id: c}"


def folder(casb: str = "suffix: casb.example\n", **files: str) -> dict[str, bytes]:
    """Files by short names: `app_x` is `apps/x.yaml`."""
    named = {
        (f"apps/{name[4:]}.yaml" if name.startswith("app_") else f"{name}.yaml"): text for name, text in files.items()
    }
    return {name: text.encode() for name, text in {"casb.yaml": casb, **named}.items()}


def app(name: str, *domains: str, more: str = "") -> str:
    return f"id: {name}\nname: {name}\ndomains: [{', '.join(repr(each) for each in domains)}]\n{more}"


def errors(files: Mapping[str, bytes], **more: object) -> list[str]:
    return [str(error) for error in draft(files, "/etc/casb", **more).errors]  # type: ignore[arg-type]


def test_the_smallest_folder() -> None:
    found = build(folder(app_box=app("box", "box.example")), "/etc/casb")
    assert found.settings.suffix == "casb.example"
    assert found.settings.data == "/etc/casb/var"
    assert found.settings.folder == "/etc/casb"
    (box,) = found.apps
    assert (box.id, box.domains, box.tag, box.controlled) == ("box", ("box.example",), AppTag.SANCTIONED, True)
    assert found.ranges == ()
    assert found.policy_texts == {}


def test_an_app_with_everything() -> None:
    text = """\
id: box
name: Box
domains: [Box.Example, '*.box.example', box.example.]
category: Cloud storage
tag: monitored
risk_score: 7
upstream: {connect: 'http://[::1]:8080/', ca: ca.pem}
signatures: [{activity: share, methods: [POST], path: /share/*, content_types: [application/json], query: [x]}]
rewrite: {exclude: [/raw/*], inject_guard: false, view: origin, messages: false}
start: /home
logout: [/logout]
provider: idp
always_proxied: false
on_failure: allow
"""
    (box,) = build(folder(f"suffix: casb.example\nproviders: [{PROVIDER}]", app_box=text), "/etc/casb").apps
    assert box.domains == ("box.example", "*.box.example")
    assert box.upstream == Upstream(connect="http://[::1]:8080", ca="/etc/casb/ca.pem")
    assert box.signatures == (
        Signature(
            activity="share",
            methods=frozenset({"POST"}),
            path="/share/*",
            content_types=frozenset({"application/json"}),
            query=frozenset({"x"}),
        ),
    )
    assert box.rewrite == Rewrite(exclude=("/raw/*",), inject_guard=False, view=View.ORIGIN, messages=False)
    assert (box.tag, box.risk_score, box.on_failure, box.always_proxied) == (AppTag.MONITORED, 7, "allow", False)


def test_several_apps_in_one_file_and_defaults_of_the_deployment() -> None:
    text = """\
apps:
  - {id: one, name: One, domains: [one.example]}
  - {id: two, name: Two, domains: [two.example], tag: unsanctioned}
"""
    one, two = build(folder("suffix: casb.example\non_failure: allow\n", app_many=text), "/etc/casb").apps
    assert (one.controlled, one.on_failure) == (True, "allow")
    assert two.controlled is False


def test_policies_are_handed_on_by_the_name_that_errors_carry() -> None:
    files = folder(finance="policies: []", ranges="ranges: []") | {"tests/finance_test.yaml": b"x"}
    assert build(files, "/etc/casb", label="policies").policy_texts == {"policies/finance.yaml": b"policies: []"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("finance.yaml", True),
        ("finance.yml", True),
        ("casb.yaml", False),
        ("ranges.yaml", False),
        ("apps/box.yaml", False),
        ("tests/finance_test.yaml", False),
        ("README.md", False),
    ],
)
def test_is_policy(name: str, expected: bool) -> None:
    assert is_policy(name) is expected


def test_version() -> None:
    files = folder(finance="policies: []")
    assert version_of(files) == version_of(dict(reversed(files.items())))
    assert version_of(files) != version_of(files | {"finance.yaml": b"policies: [ ]"})
    assert version_of(files) != version_of({"other.yaml": files["finance.yaml"], "casb.yaml": files["casb.yaml"]})
    assert version_of(files) == version_of(files | {"tests/finance_test.yaml": b"x"})
    assert len(version_of({})) == 12


CASES = [
    ({}, "casb.yaml: C121 the deployment is missing", "no casb.yaml"),
    (folder("suffix: [a]"), "casb.yaml:1:9: C016", "wrong type"),
    (folder("suffix: https://casb.example"), "casb.yaml:1:9: C107", "a suffix that is an address"),
    (folder("suffix: .casb.example"), "casb.yaml:1:9: C107", "leading dot"),
    (folder("suffix: 127.0.0.1"), "casb.yaml:1:9: C107", "an IP address"),
    (folder("suffix: a.example\nsufix: b"), "casb.yaml:2:1: C013", "unknown key"),
    (folder("suffix: a.example\nsession: {idle: 60}"), "casb.yaml:2:17: C016", "no unit"),
    (folder("suffix: a.example\nsession: {idle: 60x}"), "casb.yaml:2:17: C101", "wrong unit"),
    (folder("suffix: a.example\nsession: {idle: 2h, absolute: 1h}"), "casb.yaml:2:17: C120", "contradiction"),
    (folder("suffix: a.example\nlimits: {hold: 50M}"), "casb.yaml:2:16: C102", "wrong unit"),
    (folder("suffix: a.example\npublic_port: 70000"), "casb.yaml:2:14: C120", "no port"),
    (folder("suffix: a.example\nlisteners: {reverse: '8443'}"), "casb.yaml:2:22: C105", "no address"),
    (folder("suffix: a.example\nlisteners: {reverse: '127.0.0.1:0'}"), "casb.yaml:2:22: C105", "port 0"),
    (folder("suffix: a.example\nlisteners: {reverse: '::1:8443'}"), "casb.yaml:2:22: C105", "no brackets"),
    (folder("suffix: a.example\nlisteners: {reverse: 'a.example:8443'}"), "casb.yaml:2:22: C105", "a name"),
    (folder("suffix: a.example\nlisteners: {reverse: '127.0.0.1:8090'}"), "C106 'sidecar' and 'reverse'", "same port"),
    (folder("suffix: a.example\nlisteners: {forward: '0.0.0.0:8443'}"), "casb.yaml:2:22: C106", "all addresses"),
    (folder("suffix: a.example\ntrusted_proxies: [10.0.0.7/8]"), "casb.yaml:2:19: C117", "bits below the mask"),
    (folder("suffix: a.example\nrecovery_recipient: x@y"), "casb.yaml:2:21: C126", "no age recipient"),
    (folder("suffix: a.example\nsidecar: {url: 'ftp://x'}"), "casb.yaml:2:16: C116", "no web address"),
    (folder("suffix: a.example\nsidecar: {url: 'http://10.0.0.1:80'}"), "casb.yaml:2:16: C116", "not encrypted"),
    (folder("suffix: a.example\nsidecar: {retention_days: 0}"), "casb.yaml:2:27: C120", "nothing kept"),
    (folder("suffix: a.example\nsidecar: {token: hunter2}"), "casb.yaml:2:18: C103", "a secret"),
    (folder("suffix: a.example\nsidecar: {admins: {provider: x, group: g}}"), "2:30: C110", "no such provider"),
    (folder(f"suffix: a.example\nproviders: [{PROVIDER}]\nsidecar: {{admins: {{provider: idp}}}}"), "C125", "no group"),
    (folder(f"suffix: a.example\nproviders: [{PROVIDER}, {PROVIDER}]"), "C109 two providers", "an id twice"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'http://idp.example', client_id: c}]"), "C116", "http"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://u@a.example', client_id: c}]"), "C116", "user"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://a/?x', client_id: c}]"), "C116", "query"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://[', client_id: c}]"), "C116", "no address"),
    (folder("suffix: a.example\nproviders: [{id: X, authority: 'https://a.example', client_id: c}]"), "C111", "no id"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://a.example', client_id: ''}]"), "C125", "empty"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://a.example', client_id: c, algorithms: []}]"),
     "C125", "no algorithm"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://a.example', client_id: c, algorithms: [RS1]}]"),
     "C014", "no algorithm that we know"),
    (folder("suffix: a.example\nproviders: [{id: x, authority: 'https://a.example', client_id: c, domains: ['@a']}]"),
     "C112", "no mail domain"),
    (folder(app_a=app("a", "https://a.example")), "apps/a.yaml:3:11: C112", "an address"),
    (folder(app_a=app("a", "*.com")), "apps/a.yaml:3:11: C112 '*.com' covers a whole top-level domain", "a TLD"),
    (folder(app_a=app("a")), "apps/a.yaml:3:10: C112", "no domain"),
    (folder(app_a=app("a", "x.casb.example")), "apps/a.yaml:3:11: C108", "under the suffix"),
    (folder(app_a=app("a", "casb.example")), "apps/a.yaml:3:11: C108", "the suffix itself"),
    (folder(app_a=app("a", "*.example.org"), casb="suffix: casb.example.org"), "apps/a.yaml:3:11: C108", "covers it"),
    (folder(app_a=app("a", "login")), "apps/a.yaml:3:11: C123", "a host of ours"),
    (folder(app_a=app("a", "a.example:70000")), "apps/a.yaml:3:11: C112", "no port"),
    (folder(app_a=app("a", "a--v6")), "apps/a.yaml:3:11: C123", "ends like a spelling of ours"),
    (folder(app_a=app("a", "x--p8443")), "apps/a.yaml:3:11: C123", "a port of ours"),
    (folder(app_a=app("a", ".".join(["a" * 60] * 4))), "apps/a.yaml:3:11: C123", "too long"),
    (folder(app_a=app("A!", "a.example")), "apps/a.yaml:1:5: C111", "no id"),
    (folder(app_a=app("a", "a.example"), app_b=app("a", "b.example")),
     "apps/b.yaml:1:5: C109 two apps have the id 'a'; the first is at apps/a.yaml:1:5", "an id twice"),
    (folder(app_a=app("a", "x.example"), app_b=app("b", "y.example", "X.example")),
     "apps/b.yaml:3:24: C113 'x.example' belongs to 'a' already; the first is at apps/a.yaml:3:11", "a domain twice"),
    (folder(app_a=app("a", "a.example", more="risk_score: 11")), "apps/a.yaml:4:13: C120", "out of range"),
    (folder(app_a=app("a", "a.example", more="start: home")), "apps/a.yaml:4:8: C124", "no path"),
    (folder(app_a=app("a", "a.example", more="logout: [logout]")), "apps/a.yaml:4:10: C124", "no path"),
    (folder(app_a=app("a", "a.example", more="provider: x")), "apps/a.yaml:4:11: C110", "no such provider"),
    (folder(app_a=app("a", "a.example", more="tag: good")), "apps/a.yaml:4:6: C014", "no such tag"),
    (folder(app_a=app("a", "a.example", more="upstream: {connect: localhost}")), "apps/a.yaml:4:21: C114", "no port"),
    (folder(app_a=app("a", "a.example", more="upstream: {connect: 'ftp://a:1'}")), "apps/a.yaml:4:21: C114", "ftp"),
    (folder(app_a=app("a", "a.example", more="upstream: {connect: 'a:1/x'}")), "apps/a.yaml:4:21: C114", "a path"),
    (folder(app_a=app("a", "a.example", more="upstream: {connect: 'a:1?'}")), "C114", "a query"),
    (folder(app_a=app("a", "a.example", more="signatures: [{activity: dowload}]")), "a.yaml:4:25: C014", "no type"),
    (folder(app_a=app("a", "a.example", more="signatures: [{activity: edit, methods: [post]}]")), "C124", "small"),
    (folder(app_a=app("a", "a.example", more="signatures: [{activity: edit, path: api}]")), "C124", "no path"),
    (folder(app_a=app("a", "a.example", more="signatures: [{activity: edit, name_field: n}]")), "C124", "no upload"),
    (folder(app_a=app("a", "a.example", more="signatures: [{activity: edit, content_types: [x]}]")), "C124", "no type"),
    (folder(ranges="ranges: [{name: a, ranges: [10.0.0.7/8]}]"), "ranges.yaml:1:29: C117", "bits below the mask"),
    (folder(ranges="ranges: [{name: a, ranges: [10.0.0.0/8], country: Germany}]"), "ranges.yaml:1:51: C119", "no code"),
    (folder(ranges="ranges: [{name: a, ranges: [10.0.0.0/8], category: nice}]"), "ranges.yaml:1:52: C014", "no word"),
    (folder(ranges="ranges:\n- {name: a, ranges: [10.0.0.0/8]}\n- {name: b, ranges: [192.0.2.1, 10.1.0.0/16]}"),
     "ranges.yaml:3:33: C118 10.1.0.0/16 of 'b' overlaps 10.0.0.0/8 of 'a'; the first is at ranges.yaml:2:22",
     "overlap, with both places"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected", "why"), CASES, ids=[case[2] + f" {i}" for i, case in enumerate(CASES)])
def test_errors(files: dict[str, bytes], expected: str, why: str) -> None:
    (error,) = errors(files)
    assert expected in error, why


def test_a_name_below_another_apps_wildcard_is_fine() -> None:
    files = folder(app_a=app("a", "*.contoso.test"), app_b=app("b", "files.contoso.test"))
    assert errors(files) == []


def test_all_errors_of_all_files_at_once() -> None:
    files = folder(
        "suffix: a b\nsession: {idle: x}\n",
        app_a=app("A", "*.com", more="start: x"),
        app_b="id: b",
        ranges="ranges: [{name: a, ranges: [x]}]",
    )
    with pytest.raises(Problems) as caught:
        build(files, "/etc/casb", label="policies")
    places = [str(error).split(" ")[0] for error in caught.value.errors]
    assert places == [
        "policies/casb.yaml:1:9:",
        "policies/casb.yaml:2:17:",
        "policies/apps/a.yaml:1:5:",
        "policies/apps/a.yaml:4:8:",
        "policies/apps/a.yaml:3:11:",
        "policies/apps/b.yaml:1:1:",
        "policies/apps/b.yaml:1:1:",
        "policies/ranges.yaml:1:29:",
    ]


def test_a_draft_tells_whether_apps_and_ranges_are_complete() -> None:
    def complete(files: dict[str, bytes]) -> bool:
        found: Draft = draft(files, "/etc/casb")
        return found.complete

    assert complete(folder("suffix: [x]", app_a=app("a", "a.example")))
    assert complete(folder(app_a=app("a", "*.com")))
    assert not complete(folder(app_a="id: a"))
    assert not complete(folder(ranges="x: 1"))


def test_secrets_and_files_are_asked_of_the_outside() -> None:
    text = (
        "suffix: a.example\nproviders: [{id: x, authority: 'https://a.example', client_id: c, client_secret: 'file:s'}]"
    )
    outside = Outside(secret=lambda reference: reference.upper(), is_file=lambda path: False)
    (provider,) = build(folder(text), "/etc/casb", outside).settings.providers
    assert provider.client_secret is not None and provider.client_secret.reveal() == "FILE:/ETC/CASB/S"
    files = folder(app_a=app("a", "a.example", more="upstream: {ca: ca.pem}"))
    assert "C115" in errors(files, outside=outside)[0]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["casb.yaml", "apps/a.yaml", "apps/b.yaml", "ranges.yaml", "x.yaml"]),
        st.binary(max_size=60)
        | st.lists(
            st.sampled_from(
                ["suffix", "id", "apps", "ranges", "domains", "name", ":", " ", "\n", "- ", "[", "]", "a.example"]
            ),
            max_size=15,
        ).map(lambda some: "".join(some).encode()),
        max_size=4,
    )
)
def test_any_files_give_a_configuration_or_located_problems(files: dict[str, bytes]) -> None:
    try:
        build(files, "/etc/casb")
    except Problems as problems:
        assert problems.errors
        assert all(
            error.code.startswith("C") and error.where and error.where.file in {*files, "casb.yaml"}
            for error in problems.errors
        )
