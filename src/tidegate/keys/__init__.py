"""Keys: in come key files, out come signatures, their verification, and who a request's API key belongs to.

- `files`: key files are written whole or not at all, and are refused when others could read or change them.
- `signing`: Ed25519 signatures; the pipeline signs, the serving container verifies.
- `state`: what is in production, barred or halted, as one signed line that a service can trust without the ledger.
- `api_keys`: the service's API keys, of which only hashes are kept.

Imported by the registry, which signs, and by the serving container, which verifies. May import: errors, settings. Never MLflow or SQLAlchemy.
"""
