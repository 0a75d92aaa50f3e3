"""A certificate authority for one test run: server and client certificates for TLS on loopback."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. `stranger_ca` signed none of them; the server is localhost and 127.0.0.1."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger_ca: Path


def make_certificates(directory: Path) -> Certificates:
    """Write a CA, what it signed, and a CA that signed nothing into `directory`; a few milliseconds."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, ca = _make_ca("Keyspace tests")
    _, stranger = _make_ca("Somebody else")
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    for name, alternatives in (("server", names), ("client", [x509.DNSName("client")])):
        key, certificate = _make_leaf(name, alternatives, ca, ca_key)
        _write(directory / f"{name}.pem", certificate)
        _write_key(directory / f"{name}.key", key)
    _write(directory / "ca.pem", ca)
    _write(directory / "stranger.pem", stranger)
    paths = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "stranger.pem")
    return Certificates(*(directory / path for path in paths))


def _make_ca(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    return key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def _make_leaf(
    name: str,
    alternatives: Sequence[x509.GeneralName],
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = str(ca.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    builder = _builder(name, issuer, key).add_extension(
        x509.SubjectAlternativeName(alternatives), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    return key, builder.sign(ca_key, hashes.SHA256())


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, kind, serialization.NoEncryption()))
