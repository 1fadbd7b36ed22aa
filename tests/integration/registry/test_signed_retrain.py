"""A retraining with a signing key, as in production: what a serving container finds in MLflow verifies with the public key alone."""

from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.errors import ConfigurationError
from tidegate.keys.signing import Signer, Verifier, production_message, shadow_message
from tidegate.keys.state import decode
from tidegate.pipeline.retrain import retrain
from tidegate.registry.opening import open_promoter
from tidegate.registry.tracking import Tracking
from tidegate.settings.serving import Signing

pytestmark = pytest.mark.slow

NAME = "simulated-small"


def test_a_retraining_signs_what_it_registers_and_what_it_promotes(tmp_path: Path) -> None:
    signer = Signer.new()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(signer.private_pem())
    private.chmod(0o600)
    public.write_bytes(signer.public_pem())
    unsigned = settings(tmp_path).model_copy(update={"environment": "production"})

    with pytest.raises(ConfigurationError, match=r"production needs a key to sign with.*signing\.private_key_file"):
        retrain(job(strategy(), unsigned))
    assert Tracking(unsigned).versions(NAME) == [], "refused at once, not after hours"

    installation = unsigned.model_copy(update={"signing": Signing(private_key_file=private)})
    outcome = retrain(job(strategy(), installation, run=1))
    assert outcome.record.promotion.outcome == "promoted"
    tracking, verifier = Tracking(installation), Verifier.from_files([public])
    digest = tracking.verified_manifest(NAME, 1).digest()
    location = tracking.connection.client.get_model_version_download_uri(NAME, "1")
    (tmp_path / "fetched").mkdir()
    fetched = tracking._repository(location).download_artifacts("signature", str(tmp_path / "fetched"))
    for name, message in (("manifest", production_message(digest)), ("shadow", shadow_message(digest))):
        assert verifier.verify(message, Path(fetched, f"{name}.sig").read_bytes()) == signer.key_id
    told = decode(tracking.signed_state(NAME) or "", verifier, NAME)
    assert (told.production, told.production_version, told.halted) == (digest, 1, False)
    row = open_promoter(installation).history(NAME)[-1]
    assert (row.evidence["signed"], row.evidence["key"]) == (production_message(digest), signer.key_id)
