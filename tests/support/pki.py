"""Certificates, made by openssl: those that a cluster secret stands for, and all that must be refused."""

import base64
import hashlib
import hmac
import ssl
import subprocess
import time
from pathlib import Path

HOUR, DAY = 3600, 86_400
NODE = "serverAuth,clientAuth"


def derive(secret, label, count):
    """HKDF with SHA-256 and an empty salt (RFC 5869), one block of output."""
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(key, label.encode() + b"\x01", hashlib.sha256).digest()[:count]


def _openssl(*words, data=None):
    completed = subprocess.run(
        ["openssl", *map(str, words)], input=data, capture_output=True, text=isinstance(data, str), timeout=20
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def _date(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


class Authority:
    """An authority in a folder of its own."""

    def __init__(self, folder, cluster, key_pem):
        self.folder, self.cluster, self.count = Path(folder), cluster, 0
        self.folder.mkdir(parents=True)
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.crt"
        self.key.write_text(key_pem)
        subject = f"/CN=repligo cluster {cluster}"
        _openssl("req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", 10, "-subj", subject)
        (self.folder / "index").touch()
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\n"
            f"database={self.folder}/index\nnew_certs_dir={self.folder}\nrand_serial=yes\nunique_subject=no\n"
            f"private_key={self.key}\ncertificate={self.certificate}\ndefault_md=default\npolicy=any\n"
            "[any]\ncommonName=supplied\n"
        )

    @classmethod
    def of_secret(cls, folder, file):
        """That of the first secret in a file, as every node derives it."""
        secret = bytes.fromhex(Path(file).read_text().split()[0])
        seed = derive(secret, "repligo cluster authority key 1", 32)
        der = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
        pem = f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"
        return cls(folder, derive(secret, "repligo cluster name 1", 8).hex(), pem)

    @classmethod
    def fresh(cls, folder, cluster="other"):
        return cls(folder, cluster, _openssl("genpkey", "-algorithm", "ed25519").decode())

    def issue(self, name, uri=None, usages=NODE, begin=-HOUR, end=DAY):
        """(certificate, key) of a node, or of whatever `uri` and `usages` say; `uri` may be empty for none."""
        self.count += 1
        stem = self.folder / f"{self.count}-{name}"
        key, request, extensions = (stem.with_suffix(suffix) for suffix in (".key", ".csr", ".ext"))
        certificate = stem.with_suffix(".crt")
        _openssl("genpkey", "-algorithm", "ed25519", "-out", key)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        uri = f"repligo://{self.cluster}/node/{name}" if uri is None else uri
        lines = ["basicConstraints=CA:FALSE"]
        lines += [f"extendedKeyUsage={usages}"] if usages else []
        lines += [f"subjectAltName=URI:{uri}"] if uri else []
        extensions.write_text("\n".join(lines) + "\n")
        words = ["ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-extfile", extensions]
        words += ["-startdate", _date(begin), "-enddate", _date(end), "-in", request, "-out", certificate]
        _openssl(*words)
        return certificate, key


def node_context(pair, server=False):
    """TLS 1.3 as a node speaks it, with a certificate; it believes everybody, since it is the other side that is
    tested."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(*map(str, pair))
    return context


def wrap(stream, pair, server=False):
    """A socket with the handshake done."""
    return node_context(pair, server).wrap_socket(stream, server_side=server)
