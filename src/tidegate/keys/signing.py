"""Ed25519 signatures over short texts: the pipeline signs what it promotes, the serving container verifies it.

Every signed text begins with a line that names its purpose, so that a signature for one purpose never fits another: the signature of a
challenger does not make it a production model.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tidegate.errors import BundleError, ConfigurationError, SignatureRefused
from tidegate.keys import files

PRIVATE_SETTING, PUBLIC_SETTING = "signing.private_key_file", "signing.public_key_files"
SIGNATURE_BYTES: Final = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")


def production_message(digest: str) -> str:
    """What is signed when a bundle is promoted.

    Args:
        digest: the manifest's digest, 64 hexadecimal digits.

    Raises:
        BundleError: it is no such digest.
    """
    return _message("production", _checked(digest))


def shadow_message(digest: str) -> str:
    """What is signed when a bundle is registered: it may predict beside production, and nothing else. See `production_message`."""
    return _message("shadow", _checked(digest))


def state_message(text: str) -> str:
    """What is signed of a state; `text` is its canonical JSON."""
    return _message("state", text)


def act_message(action: str, strategy: str, token: int) -> str:
    """What is signed in the ledger for an act that has no bundle, such as a halt.

    Args:
        action: `halt` or `resume`.
        strategy: the strategy's name.
        token: the act's fencing token, so that an old signature never fits a new act.
    """
    return _message("act", f"{action} {strategy} {token}")


def _message(purpose: str, subject: str) -> str:
    return f"tidegate/1 {purpose}\n{subject}"


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise BundleError("not a manifest's digest", expected="64 hexadecimal digits", actual=repr(digest)[:80])
    return digest


class Signer:
    """Signs with one private key.

    Args:
        key: the private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._key_id = key_id(key.public_key())

    @classmethod
    def new(cls) -> Self:
        """A signer with a new key from the operating system's random numbers."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The signer of a PEM file (PKCS 8, not encrypted) that only its owner may read.

        Raises:
            ConfigurationError: the file is missing, too open, or holds no such key.
        """
        content = files.read_private(path, PRIVATE_SETTING)
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except TypeError as error:  # cryptography's answer to a key that asks for a password
            raise _unfit(
                path, PRIVATE_SETTING, "a private Ed25519 key without a password", "an encrypted key"
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _unfit(path, PRIVATE_SETTING, "a private Ed25519 key (PEM)", "something else") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _unfit(path, PRIVATE_SETTING, "a private Ed25519 key", "a key of another kind")
        return cls(key)

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the raw public key."""
        return self._key_id

    def sign(self, message: str) -> bytes:
        """The signature of a text, 64 bytes; the same text always gets the same."""
        return self._key.sign(message.encode())

    def verifier(self) -> "Verifier":
        """A verifier that trusts this key alone."""
        return Verifier([self._key.public_key()])

    def private_pem(self) -> bytes:
        """The private key as PEM (PKCS 8, not encrypted)."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_pem(self) -> bytes:
        """The public key as PEM."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class Verifier:
    """Verifies with several public keys, so that keys can be changed without a gap.

    Args:
        keys: the public keys that are trusted, at least one.

    Raises:
        ConfigurationError: there is none.
    """

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}
        if not self._keys:
            raise ConfigurationError(
                "there is no public key to verify with",
                expected="at least one",
                setting=PUBLIC_SETTING,
                next_step="name the public half of the key that signs",
            )

    @classmethod
    def from_files(cls, paths: Iterable[Path]) -> Self:
        """The verifier that trusts the public keys of these PEM files.

        Raises:
            ConfigurationError: there is none, or a file is missing, writable for everybody, or holds no public Ed25519 key.
        """
        return cls([_public_key(path) for path in paths])

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the trusted keys, in the order given."""
        return tuple(self._keys)

    def verify(self, message: str, signature: bytes) -> str:
        """The id of the key that made this signature of this text.

        Raises:
            SignatureRefused: none of the trusted keys made it.
        """
        for identity, key in self._keys.items():
            try:
                key.verify(signature, message.encode())
            except InvalidSignature:
                continue
            return identity
        what = "is wrong, or by a key that is not trusted"
        if len(signature) != SIGNATURE_BYTES:
            what = f"has {len(signature)} bytes"
        purpose = message.partition("\n")[0]
        raise SignatureRefused(
            f"a signature ({purpose}) {what}",
            expected=f"{SIGNATURE_BYTES} bytes by one of {', '.join(self.key_ids)}",
            setting=PUBLIC_SETTING,
        )


def key_id(key: Ed25519PublicKey) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _public_key(path: Path) -> Ed25519PublicKey:
    content = files.read_trusted(path, PUBLIC_SETTING)
    if b"PRIVATE KEY" in content:
        raise _unfit(path, PUBLIC_SETTING, "a public key", "a private key, which belongs with the pipeline only")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unfit(path, PUBLIC_SETTING, "a public Ed25519 key (PEM)", "something else") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unfit(path, PUBLIC_SETTING, "a public Ed25519 key", "a key of another kind")
    return key


def _unfit(path: Path, setting: str, expected: str, actual: str) -> ConfigurationError:
    return ConfigurationError(
        f"key file {path} cannot be used",
        expected=expected,
        actual=actual,
        setting=setting,
        next_step="`tidegate keys signing new` makes a pair",
    )
