import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tidegate.errors import ConfigurationError, SignatureRefused
from tidegate.keys.signing import Signer, Verifier, production_message

DIGEST = "ab" * 32
# RFC 8032, section 7.1, test 2: a signature by other software of the one-byte message 0x72.
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def pair(folder: Path, name: str) -> tuple[Signer, Path, Path]:
    signer = Signer.new()
    private = write(folder / f"{name}.pem", signer.private_pem())
    public = write(folder / f"{name}.pub", signer.public_pem(), 0o644)
    return signer, private, public


def test_a_known_signature_of_another_program_is_made_and_accepted() -> None:
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)))
    assert signer.sign("r").hex() == SIGNATURE
    assert signer.key_id == hashlib.sha256(bytes.fromhex(PUBLIC)).hexdigest()[:16]
    assert signer.verifier().verify("r", bytes.fromhex(SIGNATURE)) == signer.key_id


def test_a_pair_of_files_signs_and_verifies(tmp_path: Path) -> None:
    made, private, public = pair(tmp_path, "a")
    signer, verifier = Signer.from_file(private), Verifier.from_files([public])
    signature = signer.sign(production_message(DIGEST))
    assert len(signature) == 64
    assert verifier.verify(production_message(DIGEST), signature) == signer.key_id == made.key_id
    assert verifier.key_ids == (made.key_id,)


def test_while_keys_are_changed_both_are_trusted_and_the_one_that_fits_is_named(tmp_path: Path) -> None:
    old, _, old_public = pair(tmp_path, "old")
    new, _, new_public = pair(tmp_path, "new")
    verifier = Verifier.from_files([old_public, new_public])
    assert [verifier.verify("m", signer.sign("m")) for signer in (old, new)] == [old.key_id, new.key_id]
    with pytest.raises(SignatureRefused, match=f"expected 64 bytes by one of {new.key_id}"):
        Verifier.from_files([new_public]).verify("m", old.sign("m"))


@pytest.mark.parametrize("signature", [b"", b"\0" * 63, b"\0" * 64, b"\0" * 65])
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureRefused):
        Signer.new().verifier().verify("m", signature)


def test_a_verifier_without_a_key_cannot_be_made() -> None:
    with pytest.raises(ConfigurationError, match=r"signing\.public_key_files"):
        Verifier.from_files([])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o610, 0o666])
def test_a_private_key_that_others_have_rights_on_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key.pem", Signer.new().private_pem(), mode)
    with pytest.raises(ConfigurationError, match=rf"too open.*was mode {mode:04o}.*chmod 600"):
        Signer.from_file(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_of_its_owner_alone_is_fine(tmp_path: Path, mode: int) -> None:
    Signer.from_file(write(tmp_path / "key.pem", Signer.new().private_pem(), mode))


def test_a_public_key_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "key.pem", Signer.new().public_pem(), 0o666)
    with pytest.raises(ConfigurationError, match="too open"):
        Verifier.from_files([path])


def encrypted() -> bytes:
    form = serialization.PrivateFormat.PKCS8
    lock = serialization.BestAvailableEncryption(b"word")
    return Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, form, lock)


def other_kind() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    return private, key.public_key().public_bytes(serialization.Encoding.PEM, public)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "was something else"),
        (b"\xff\x00 not a key", "was something else"),
        (Signer.new().public_pem(), "was something else"),
        (encrypted(), "was an encrypted key"),
        (other_kind()[0], "was a key of another kind"),
    ],
    ids=["empty", "garbage", "public", "encrypted", "other kind"],
)
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{fault}.*tidegate keys signing new"):
        Signer.from_file(write(tmp_path / "key.pem", content))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "was something else"),
        (Signer.new().private_pem(), "was a private key, which belongs with the pipeline only"),
        (other_kind()[1], "was a key of another kind"),
    ],
    ids=["empty", "private", "other kind"],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        Verifier.from_files([write(tmp_path / "key.pem", content)])


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"nothing\.pem cannot be read: No such file.*|signing\.private_key_file"
    ):
        Signer.from_file(tmp_path / "nothing.pem")
    with pytest.raises(ConfigurationError, match=r"cannot be read"):
        Verifier.from_files([tmp_path])


def test_neither_a_message_nor_a_printed_signer_shows_the_key(tmp_path: Path) -> None:
    signer, private, _ = pair(tmp_path, "a")
    secret = signer.private_pem().decode().splitlines()[1]
    private.chmod(0o644)
    with pytest.raises(ConfigurationError) as caught:
        Signer.from_file(private)
    assert secret not in f"{caught.value} {signer!r} {signer}"
