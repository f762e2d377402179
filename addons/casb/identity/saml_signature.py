"""Signatures of SAML messages: enveloped ones in the XML, and those of the Redirect binding's query.

Keys come from the configuration alone; what a document says about its key is never read. Of a signed document only
what `signed` returns may be read: a tree made anew of the very bytes that were signed.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from casb.errors import TokenError
from casb.identity.saml_xml import DS, EXC_C14N, SAML, Element, local, only

LEAST_RSA: Final = 2048
MOST_RSA: Final = 8192

_ENVELOPED: Final = f"{DS}enveloped-signature"
_METHODS: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_QUERY_HASHES: Final[Mapping[str, Callable[[], hashes.HashAlgorithm]]] = {
    SignatureMethod.RSA_SHA256.value: hashes.SHA256,
    SignatureMethod.RSA_SHA384.value: hashes.SHA384,
    SignatureMethod.RSA_SHA512.value: hashes.SHA512,
    SignatureMethod.ECDSA_SHA256.value: hashes.SHA256,
    SignatureMethod.ECDSA_SHA384.value: hashes.SHA384,
    SignatureMethod.ECDSA_SHA512.value: hashes.SHA512,
}
QUERY_ALGORITHM: Final = SignatureMethod.RSA_SHA256.value

logging.getLogger("signxml").setLevel(logging.INFO)  # at DEBUG it writes whole assertions down


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private RSA key of ours and the certificate that others know it by."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def der(self) -> str:
        """The certificate as metadata writes it."""
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode("ascii")


def load_certificate(source: str | bytes | x509.Certificate) -> x509.Certificate:
    """A trusted certificate from PEM, DER, bare base64 (as metadata has it) or as it is.

    It is a container of a key (SAML V2.0 Metadata Interoperability Profile): its dates and issuer are not looked at.
    Raises `TokenError` T048 when it is none, or its key is too weak.
    """
    if not isinstance(source, x509.Certificate):
        data = source.encode("ascii", "replace") if isinstance(source, str) else source
        try:
            if b"-----BEGIN" in data:
                source = x509.load_pem_x509_certificate(data)
            elif data[:1] == b"\x30":
                source = x509.load_der_x509_certificate(data)
            else:
                source = x509.load_der_x509_certificate(base64.b64decode(b"".join(data.split()), validate=True))
        except (ValueError, binascii.Error):
            raise TokenError("T048", "a configured certificate is no certificate") from None
    try:
        key = source.public_key()
    except Exception:
        raise TokenError("T048", "a configured certificate has a key of no known kind") from None
    if isinstance(key, rsa.RSAPublicKey):
        if not LEAST_RSA <= key.key_size <= MOST_RSA or key.public_numbers().e < 3:
            raise TokenError("T048", "a configured certificate has an RSA key of less than 2048 bits")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
        raise TokenError("T048", "a configured certificate has neither an RSA key nor one on a curve of 256 bits")
    return source


def check_profile(signature: Element) -> None:
    """Raises `TokenError` T045 unless a `ds:Signature` is of the one shape that SAML allows (Core section 5.4).

    One reference to the element around it, nothing transformed but by enveloping and exclusive canonicalization,
    nothing hidden in objects, RSA or ECDSA with SHA-256 or better.
    """
    parent = signature.getparent()
    names = [local(child.tag) for child in signature]
    if any(not child.tag.startswith(f"{{{DS}}}") for child in signature) or names not in (
        ["SignedInfo", "SignatureValue"],
        ["SignedInfo", "SignatureValue", "KeyInfo"],
    ):
        raise TokenError("T045", "a signature holds what SAML does not allow")
    info = signature[0]
    if [child.tag for child in info] != [
        f"{{{DS}}}CanonicalizationMethod",
        f"{{{DS}}}SignatureMethod",
        f"{{{DS}}}Reference",
    ]:
        raise TokenError("T045", "a signature has not exactly one reference")
    canonical, method, reference = info
    _exclusive(canonical)
    _one_of(method, {each.value for each in _METHODS}, "signature")
    identifier = parent.get("ID") if parent is not None else None
    if not identifier or reference.get("URI") != f"#{identifier}":
        raise TokenError("T045", "a signature does not refer to the element around it")
    if [child.tag for child in reference] != [
        f"{{{DS}}}Transforms",
        f"{{{DS}}}DigestMethod",
        f"{{{DS}}}DigestValue",
    ]:
        raise TokenError("T045", "the reference of a signature is malformed")
    transforms = reference[0]
    algorithms = [each.get("Algorithm") for each in transforms]
    if any(each.tag != f"{{{DS}}}Transform" for each in transforms) or algorithms != [_ENVELOPED, EXC_C14N]:
        raise TokenError("T045", "a signature uses other transforms than enveloped and exclusive canonicalization")
    if len(transforms[0]):
        raise TokenError("T045", "a transform has parameters")
    _exclusive(transforms[1])
    _one_of(reference[1], {each.value for each in _DIGESTS}, "digest")
    for each in (signature[1], reference[2]):
        if len(each) or not (each.text or "").strip():
            raise TokenError("T045", "the value of a signature or digest is empty")


def _exclusive(element: Element) -> None:
    """Exclusive canonicalization without comments; a list of prefixes is allowed (SAML Core section 5.4.3)."""
    if element.get("Algorithm") != EXC_C14N:
        raise TokenError("T045", "a signature uses another canonicalization than the exclusive one")
    if [child.tag for child in element] not in ([], [f"{{{EXC_C14N}}}InclusiveNamespaces"]):
        raise TokenError("T045", "a canonicalization has unknown parameters")


def _one_of(element: Element, allowed: set[str], what: str) -> None:
    if element.get("Algorithm") not in allowed or len(element):
        raise TokenError("T045", f"the {what} algorithm is not one of SHA-256 or better with RSA or ECDSA")


def signed(root: Element, element: Element, certificates: Sequence[x509.Certificate]) -> tuple[Element, str]:
    """What the signature that is a child of `element` (in the strictly read tree of `root`) covers, as a tree anew;
    and the SHA-256 of the certificate that verified it.

    Raises `TokenError` T046. `certificates` are several during a rollover; the first that fits counts.
    """
    if not certificates:
        raise TokenError("T048", "no certificate of the sender is configured")
    document = etree.tostring(root)
    location = "./" if element is root else f"./{element.tag}/"
    for certificate in certificates:
        config = SignatureConfiguration(
            require_x509=True,
            location=location,
            expect_references=1,
            signature_methods=_METHODS,
            digest_algorithms=_DIGESTS,
            ignore_ambiguous_key_info=True,  # KeyInfo is not read at all: the certificate is the configured one
            verification_time=certificate.not_valid_before_utc,  # a container of a key: its dates do not count
        )
        try:
            result: Any = XMLVerifier().verify(document, x509_cert=certificate, id_attribute="ID", expect_config=config)
        except (SignXMLException, InvalidSignature, etree.LxmlError, ValueError, TypeError, KeyError, AttributeError):
            continue
        tree = result.signed_xml
        if tree is None or not result.signed_data or (tree.tag, tree.get("ID")) != (element.tag, element.get("ID")):
            raise TokenError("T046", "the signature covers something else than the element around it")
        return tree, certificate.fingerprint(hashes.SHA256()).hex()
    raise TokenError("T046", "the signature is not one of a configured certificate")


def sign(element: Element, key: SigningKey) -> Element:
    """The element with an enveloped signature right after its Issuer (Core section 2.3.3, 3.2.1)."""
    issuer = only(element, f"{{{SAML}}}Issuer", "T042")
    place = etree.Element(f"{{{DS}}}Signature", nsmap={"ds": DS}, Id="placeholder")
    if issuer is None:
        element.insert(0, place)
    else:
        issuer.addnext(place)
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    return signer.sign(element, key=key.key, cert=[key.certificate], reference_uri=f"#{element.get('ID')}")


def sign_query(data: bytes, key: SigningKey) -> bytes:
    """The signature over a Redirect binding's octets (Bindings section 3.4.4.1)."""
    return key.key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def check_query(data: bytes, algorithm: str, signature: bytes, certificates: Sequence[x509.Certificate]) -> None:
    """Raises `TokenError` T045 or T046 unless one of the certificates signed these octets of a query."""
    made = _QUERY_HASHES.get(algorithm)
    if made is None:
        raise TokenError("T045", "the signature algorithm of the query is not one of SHA-256 or better")
    for certificate in certificates:
        key = certificate.public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey) and "#rsa-" in algorithm:
                key.verify(signature, data, padding.PKCS1v15(), made())
                return
            if isinstance(key, ec.EllipticCurvePublicKey) and "#ecdsa-" in algorithm:
                key.verify(_der_of(signature, key), data, ec.ECDSA(made()))
                return
        except (InvalidSignature, ValueError):
            continue
    raise TokenError("T046", "the query is not signed by a configured certificate")


def _der_of(signature: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """XML signatures write r and s one after the other (RFC 4050); some senders write DER."""
    size = (key.curve.key_size + 7) // 8
    if len(signature) != 2 * size:
        return signature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
