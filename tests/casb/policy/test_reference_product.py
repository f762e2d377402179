"""What can be asked for in Microsoft Defender for Cloud Apps can be asked for here: each of its filters and operators.

One row for each filter with each of its operators in access, session and activity policies, and how it is spelt here.
Four have another place than `when`: activity id and date name what has happened (portal and `casb activity` look for
it; `schedule` is for policies), "from group" of people who are not signed in cannot be known, and "always apply the
action even if the data cannot be scanned" is a policy's `unscannable`.
"""

from __future__ import annotations

import pytest

from casb.policy.compile import compile_policies
from casb.policy.loader import load
from casb.policy.suspicions import suspicions
from casb.policy.vocabulary import AFTERWARDS

FILTERS: dict[str, dict[str, str]] = {
    "activity type": {"equals": "activity: [print, download]", "does not equal": "activity: {type: {not: view}}"},
    "administrative activity": {"is": "activity: {admin: true}", "is not": "activity: {admin: false}"},
    "alert": {
        "equals": "activity: {alert: no-downloads}",
        "is set": "activity: {alert: {is_set: true}}",
        "is not set": "activity: {alert: {is_set: false}}",
    },
    "app": {"equals": "app: files", "does not equal": "app: {not: [files, flows]}"},
    "app tag": {"equals": "app: {tag: sanctioned}", "does not equal": "app: {tag: {not: sanctioned}}"},
    "app risk score": {"range": "app: {risk_score: {at_least: 2, at_most: 5}}"},
    "applied action": {
        "blocked": "activity: {action: block}",
        "protected, encrypted": "activity: {action: protect}",
        "step-up, verified": "activity: {action: step_up}",
        "none": "activity: {action: allow}",
        "does not equal": "activity: {action: {not: [block, protect]}}",
    },
    "client app": {"browser": "client: {app: browser}", "mobile and desktop": "client: {app: native}"},
    "device tag": {
        "Intune compliant": "device: compliant",
        "Microsoft Entra hybrid joined": "device: hybrid-joined",
        "valid client certificate": "device: client-certificate",
        "does not equal": "device: {not: [compliant, hybrid-joined, client-certificate]}",
        "is not set": "device: unmanaged",
        "is set": "device: {not: unmanaged}",
    },
    "device type": {
        "PC": "device: {type: pc}",
        "mobile": "device: {type: mobile}",
        "tablet": "device: {type: tablet}",
        "other, no value": "device: {type: other}",
        "does not equal": "device: {type: {does_not_equal: pc}}",
    },
    "files and folders": {
        "file id": "object: {id: 01AZJL5PN6Y2}",
        "name equals": "object: {name: {equals: plan.docx}}",
        "name ends with": "object: {name: {ends_with: .pst}}",
        "name starts with": "object: {name: {starts_with: Board}}",
        "a folder": "object: {type: folder, name: Payroll}",
        "is set": "object: {id: {is_set: true}}",
    },
    "activity objects": {
        "item contains": "object: {name: {contains_words: salary}}",
        "item equals": "object: {name: {equals: Board}}",
        "item starts with": "object: {name: {starts_with: Bo}}",
        "does not equal": "object: {name: {does_not_equal: Board}}",
    },
    "impersonated activity": {"is": "activity: {impersonated: true}", "is not": "activity: {impersonated: false}"},
    "instance": {
        "equals": "app: {instance: corporate}",
        "does not equal": "app: {instance: {does_not_equal: corporate}}",
        "is not set": "app: {instance: {is_set: false}}",
    },
    "IP address, raw": {
        "equals": "client: {ip: {equals: 192.0.2.1}}",
        "does not equal": "client: {ip: {does_not_equal: [192.0.2.0/24, '2001:db8::/32']}}",
        "starts with": "client: {ip: {starts_with: '192.0.'}}",
        "doesn't start with": "client: {ip: {does_not_start_with: '192.0.'}}",
        "is set": "client: {ip: {is_set: true}}",
        "is not set": "client: {ip: {is_set: false}}",
    },
    "IP address, category": {
        "every category": "client: {ip_category: [administrative, cloud-provider, corporate, risky, vpn, other]}",
        "does not equal": "client: {ip_category: {does_not_equal: corporate}}",
    },
    "IP address, tag": {
        "equals": "client: {ip_tag: [tor, anonymous-proxy]}",
        "does not equal": "client: {ip_tag: {does_not_equal: tor}}",
    },
    "location": {
        "equals": "client: {country: [DE, AT]}",
        "does not equal": "client: {country: {does_not_equal: DE}}",
        "is set": "client: {country: {is_set: true}}",
        "is not set": "client: {country: {is_set: false}}",
    },
    "matched policy": {
        "equals": "activity: {policy: no-downloads}",
        "does not equal": "activity: {policy: {does_not_equal: no-downloads}}",
        "is set": "activity: {policy: {is_set: true}}",
    },
    "potential malware detected": {"is": "file: {malware: true}", "family": "file: {threat: '*Ransom*'}"},
    "registered ISP": {
        "equals": "client: {isp: {equals: Example Networks}}",
        "does not equal": "client: {isp: {does_not_equal: Example Networks}}",
        "contains": "client: {isp: {contains_words: hosting}}",
        "is set": "client: {isp: {is_set: true}}",
        "is not set": "client: {isp: {is_set: false}}",
    },
    "source": {
        "access control": "activity: {source: access control}",
        "session control": "activity: {source: session control}",
        "app connector": "activity: {source: app connector}",
        "discovery": "activity: {source: discovery}",
    },
    "user, name": {
        "equals": "user: {name: {equals: ada@contoso.example}}",
        "does not equal": "user: {name: {does_not_equal: ada@contoso.example}}",
        "starts with": "user: {name: {starts_with: svc-}}",
        "is set": "user: {name: {is_set: true}}",
        "is not set": "user: {name: {is_set: false}}",
        "as activity object only": "object: {user: bob@contoso.example}",
        "as any role": "any: [{user: bob@contoso.example}, {object: {user: bob@contoso.example}}]",
    },
    "user, from group": {
        "equals": "user: {group: Finance}",
        "does not equal": "user: {group: {does_not_equal: Finance}}",
        "external users": "user: {is_guest: true}",
    },
    "user, from domain": {
        "equals": "user: {domain: contoso.example}",
        "does not equal": "user: {domain: {does_not_equal: contoso.example}}",
        "as activity object only": "object: {user: {ends_with: '@partner.example'}}",
    },
    "user, organisation": {
        "equals": "user: {organization: Research}",
        "does not equal": "user: {organization: {does_not_equal: Research}}",
    },
    "user agent string": {
        "contains": "client: {user_agent: {contains: curl}}",
        "does not contain": "client: {user_agent: {does_not_contain: Edg/}}",
    },
    "user agent tag": {
        "native client": "client: {agent_tag: native-client}",
        "outdated browser": "client: {agent_tag: outdated-browser}",
        "outdated operating system": "client: {agent_tag: outdated-os}",
        "robot": "client: {agent_tag: robot}",
        "does not equal": "client: {agent_tag: {does_not_equal: robot}}",
    },
    "file, sensitivity label": {
        "equals": "file: {label: Confidential*}",
        "does not equal": "file: {label: {does_not_equal: Public}}",
        "none of all labels": "file: {label: {is_set: false}}",
        "encrypted": "file: {sign: encrypted}",
    },
    "file, name": {
        "equals": "file: {name: {equals: plan.docx}}",
        "contains": "file: {name: {contains_words: [salary, '\"top secret\"']}}",
        "does not contain": "not: {file: {name: {contains_words: salary}}}",
        "does not equal": "file: {name: {does_not_equal: plan.docx}}",
    },
    "file, extension": {
        "equals": "file: {extension: [docx, xlsx]}",
        "does not equal": "file: {extension: {does_not_equal: pdf}}",
    },
    "file, size": {
        "greater": "file: {size: {more_than: 10MB}}",
        "less": "file: {size: {less_than: 10MB}}",
        "between": "file: {size: {at_least: 1MB, at_most: 10MB}}",
    },
    "file, type": {
        "document": "file: {detected_type: document}",
        "spreadsheet": "file: {detected_type: spreadsheet}",
        "presentation": "file: {detected_type: presentation}",
        "text": "file: {detected_type: text}",
        "image": "file: {detected_type: image}",
        "other": "file: {detected_type: other}",
        "does not equal": "file: {detected_type: {does_not_equal: image}}",
    },
    "file, selected folders": {"equals": "request: {path: /sites/finance/*}"},
    "inspection, built-in DLP": {
        "preset": "file: {findings: credit-card}",
        "any of": "file: {findings: [iban, credit-card]}",
        "all of, with counts": "file: {findings: {credit-card: {at_least: 3, confidence: high}, iban: 1}}",
        "expression in a text": "text: {regex: '[0-9]{4} [0-9]{4}'}",
        "of the text of an activity": "text: {findings: secret}",
    },
}
"""Filter, operator or value, and the conditions under `when`."""


@pytest.mark.parametrize(
    ("name", "operator"), [(name, operator) for name, operators in FILTERS.items() for operator in operators]
)
def test_a_filter_of_the_reference_product(name: str, operator: str) -> None:
    when = FILTERS[name][operator]
    afterwards = any(f"{code.partition('.')[2]}:" in when and when.startswith("activity") for code in AFTERWARDS)
    kind = "kind: activity, action: audit" if afterwards else "activities: [download, upload, share], action: block"
    if when.startswith("text"):
        kind = "activities: [copy, send_item], action: block"
    if when.startswith("activity: [print"):
        kind = "activities: [print, download, view], action: block"
    text = f"version: 1\npolicies: [{{id: p, {kind}, when: {{{when}}}}}]\n"
    loaded = load({"p.yaml": text.encode()}).policies
    assert [each.document.id for each in loaded] == ["p"]
    assert [str(each) for each in suspicions(compile_policies(loaded).all)] == []
