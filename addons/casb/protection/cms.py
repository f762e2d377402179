"""CMS AuthEnvelopedData with AES-256-GCM (RFC 5083, 5084), as a stream: for device certificates and other X.509 people.

The file is written with indefinite lengths (BER, X.690 8.1.3.6), one definite octet string per chunk, the tag last.
Recipients: certificates with RSA (OAEP, SHA-256) or EC keys (ephemeral ECDH, X9.63 KDF with SHA-256, AES-256 wrap; RFC
5753), and a key-encryption key under the file's id (RFC 5652 6.2.3). `openssl cms -decrypt` opens it with any of them.

The tag comes last: a reader that streams must not use what it got before the end is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from casb.errors import ContentError

MEDIA_TYPE = "application/pkcs7-mime"
EXTENSION = ".p7m"
CHUNK = 64 * 1024

_AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
_DATA = "1.2.840.113549.1.7.1"
_AES256_GCM = "2.16.840.1.101.3.4.1.46"
_AES256_WRAP = "2.16.840.1.101.3.4.1.45"
_OAEP = "1.2.840.113549.1.1.7"
_MGF1 = "1.2.840.113549.1.1.8"
_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDH_SHA256 = "1.3.132.1.11.1"  # dhSinglePass-stdDH-sha256kdf-scheme
_EC_PUBLIC = "1.2.840.10045.2.1"
_GCM_NONCE = 12
_TAG = 16
_END = b"\0\0"

_SEQUENCE, _SET, _OCTETS, _INTEGER = 0x30, 0x31, 0x04, 0x02

type Random = Callable[[int], bytes]


def certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM. Raises `ContentError` F014 for one that no file can be encrypted to."""
    try:
        found = x509.load_pem_x509_certificate(pem)
        key = found.public_key()
    except (ValueError, TypeError) as error:
        raise ContentError("F014", "this is no certificate") from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ContentError("F014", "nothing can be encrypted to a certificate with this kind of key")
    return found


class CmsProtecting:
    """One file on its way; implements `ports.Protecting`. `kek` is 32 bytes, named by the file's id."""

    length: int | None = None

    def __init__(
        self, name: str, file: str, kek: bytes, recipients: Sequence[x509.Certificate], random: Random
    ) -> None:
        self.name = name
        self.media_type = MEDIA_TYPE
        self.file = file
        key, nonce = random(32), random(_GCM_NONCE)
        self._gcm = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor()
        infos = [_kek_recipient(kek, file, key), *(_recipient(each, key, random) for each in recipients)]
        self._head = (
            b"\x30\x80"
            + _oid(_AUTH_ENVELOPED)
            + b"\xa0\x80\x30\x80"
            + _integer(0)
            + _tlv(_SET, b"".join(sorted(infos)))
            + b"\x30\x80"
            + _oid(_DATA)
            + _tlv(_SEQUENCE, _oid(_AES256_GCM) + _tlv(_SEQUENCE, _tlv(_OCTETS, nonce) + _integer(_TAG)))
            + b"\xa0\x80"
        )

    def update(self, chunk: bytes) -> bytes:
        """Takes plain text, gives what is ready."""
        out = [self._head]
        self._head = b""
        view = memoryview(chunk)
        out.extend(_tlv(_OCTETS, self._gcm.update(view[at : at + CHUNK])) for at in range(0, len(chunk), CHUNK))
        return b"".join(out)

    def finish(self) -> bytes:
        """The rest: the closes, and the tag."""
        rest = self._gcm.finalize()
        out = self.update(b"") + (_tlv(_OCTETS, rest) if rest else b"")
        return out + _END + _END + _tlv(_OCTETS, self._gcm.tag) + _END * 3


def file_id(head: bytes) -> str | None:
    """The file id in one of our files, from its first bytes; None when there is none."""
    at = head.find(_KEK_MARK, 0, 64 * 1024)
    if at < 0 or head[:2] != b"\x30\x80":
        return None
    raw = head[at + len(_KEK_MARK) : at + len(_KEK_MARK) + 32]
    return raw.decode("ascii", "replace") if len(raw) == 32 else None


def _recipient(found: x509.Certificate, key: bytes, random: Random) -> bytes:
    public = found.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return _rsa_recipient(found, public, key)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _ec_recipient(found, public, key)
    raise ContentError("F014", "nothing can be encrypted to a certificate with this kind of key")


def _issuer_and_serial(found: x509.Certificate) -> bytes:
    return _tlv(_SEQUENCE, found.issuer.public_bytes() + _integer(found.serial_number))


def _rsa_recipient(found: x509.Certificate, public: rsa.RSAPublicKey, key: bytes) -> bytes:
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    wrapped = public.encrypt(key, oaep)
    digest = _tlv(_SEQUENCE, _oid(_SHA256) + b"\x05\x00")
    parameters = _tlv(
        _SEQUENCE, _tlv(0xA0, digest) + _tlv(0xA1, _tlv(_SEQUENCE, _oid(_MGF1) + digest))
    )  # RFC 4055 section 4.1
    algorithm = _tlv(_SEQUENCE, _oid(_OAEP) + parameters)
    return _tlv(_SEQUENCE, _integer(0) + _issuer_and_serial(found) + algorithm + _tlv(_OCTETS, wrapped))


def _ec_recipient(found: x509.Certificate, public: ec.EllipticCurvePublicKey, key: bytes) -> bytes:
    ephemeral = ec.generate_private_key(public.curve)
    shared = ephemeral.exchange(ec.ECDH(), public)
    wrap = _tlv(_SEQUENCE, _oid(_AES256_WRAP))
    # ECC-CMS-SharedInfo (RFC 5753 section 7.2): the key's algorithm and its length in bits.
    info = _tlv(_SEQUENCE, wrap + _tlv(0xA2, _tlv(_OCTETS, (256).to_bytes(4, "big"))))
    kek = X963KDF(algorithm=hashes.SHA256(), length=32, sharedinfo=info).derive(shared)
    point = ephemeral.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    originator = _tlv(0xA0, _tlv(0xA1, _tlv(_SEQUENCE, _oid(_EC_PUBLIC)) + _tlv(0x03, b"\0" + point)))
    algorithm = _tlv(_SEQUENCE, _oid(_ECDH_SHA256) + wrap)
    keys = _tlv(_SEQUENCE, _tlv(_SEQUENCE, _issuer_and_serial(found) + _tlv(_OCTETS, aes_key_wrap(kek, key))))
    return _tlv(0xA1, _integer(3) + originator + algorithm + keys)


def _kek_recipient(kek: bytes, file: str, key: bytes) -> bytes:
    identifier = _tlv(_SEQUENCE, _tlv(_OCTETS, file.encode("ascii")))
    wrap = _tlv(_SEQUENCE, _oid(_AES256_WRAP))
    return _tlv(0xA2, _integer(4) + identifier + wrap + _tlv(_OCTETS, aes_key_wrap(kek, key)))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(each) for each in dotted.split("."))
    out = bytearray()
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return _tlv(0x06, bytes(out))


_KEK_MARK = _integer(4) + bytes((_SEQUENCE, 34, _OCTETS, 32))
"""What stands before the id of a key-encryption key: ids are 32 characters."""
