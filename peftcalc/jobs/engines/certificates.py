"""The certificates of a cluster: an authority of its own, and one certificate that all who belong to it share.

Who holds the folder may join the cluster, and run anything on it; who does not is not heard. The authority's own key
is thrown away, so that nobody makes another certificate; a new folder is a new cluster.
"""

from __future__ import annotations

import datetime
import math
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcalc.checks import whole_number
from peftcalc.lazy import explained

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"
DAYS = 365


@dataclass(frozen=True)
class Certificates:
    """The three files of a folder."""

    folder: Path

    def __post_init__(self) -> None:
        missing = [name for name in (AUTHORITY, CERTIFICATE, KEY) if not (self.folder / name).is_file()]
        if missing:
            raise ValueError(f"the folder of certificates must hold {', '.join(missing)}, got {str(self.folder)!r}")
        if (end := self._end()) < time.time():
            day = datetime.datetime.fromtimestamp(end, datetime.UTC).date()
            again = "`python -m peftcalc cluster certificates FOLDER` makes others in a new folder"
            raise ValueError(f"the certificates in {self.folder} were good until {day}: {again}")

    def _end(self) -> float:
        """When the authority's certificate is void, in seconds of `time.time`; all three end together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.folder / AUTHORITY)
        except (ssl.SSLError, OSError):
            raise ValueError(f"{self.folder / AUTHORITY} must hold a certificate, as PEM") from None
        return min((ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()), default=math.inf)

    def options(self) -> list[str]:
        """What Dask's own commands are told."""
        names = {"--tls-ca-file": AUTHORITY, "--tls-cert": CERTIFICATE, "--tls-key": KEY}
        return [part for option, name in names.items() for part in (option, str(self.folder / name))]

    def security(self) -> Any:
        """What a Dask client is told."""
        from distributed import Security

        own = {"cert": str(self.folder / CERTIFICATE), "key": str(self.folder / KEY)}
        sides = {
            f"tls_{side}_{name}": value for side in ("client", "worker", "scheduler") for name, value in own.items()
        }
        return Security(tls_ca_file=str(self.folder / AUTHORITY), require_encryption=True, **sides)


def make(folder: Path, days: int = DAYS) -> Certificates:
    """Make the three files in a folder; the key is for its owner alone.

    Raises:
        ValueError: the folder holds some already, or cannot be written.
    """
    whole_number("days", days, 1, 3650)
    with explained("making certificates"):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)

    def signed(name: str, public: Any, is_authority: bool) -> bytes:
        named, issuer = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, "peftcalc cluster authority")
        )
        builder = x509.CertificateBuilder(issuer, named, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    contents = {
        AUTHORITY: signed("peftcalc cluster authority", authority_key.public_key(), True),
        CERTIFICATE: signed("peftcalc cluster", key.public_key(), False),
        KEY: secret,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            number = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as file:
                file.write(content)
    except FileExistsError:
        raise ValueError(f"{folder} holds certificates already; a new cluster needs a new folder") from None
    except OSError as error:
        raise ValueError(f"{folder} must be a folder that can be written ({error.strerror})") from None
    return Certificates(folder)
