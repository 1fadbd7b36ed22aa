"""`keys`: the pair of keys that signs models, and the API keys of the serving container."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table
from tidegate.errors import ConfigurationError

if TYPE_CHECKING:
    from tidegate.keys.api_keys import ApiKey, ApiKeys

PANEL = "Keys"
PRIVATE_NAME, PUBLIC_NAME = "signing-private.pem", "signing-public.pem"
_DAY_MS = 86_400_000

KeyId = Annotated[str, typer.Argument(help="Id of the key: lower-case letters, digits and hyphens.")]
KeyFile = Annotated[Path | None, typer.Option("--file", help="Key file. Default: serving.api_keys_file.")]


def add_to(app: typer.Typer) -> None:
    """Add the group and its commands."""
    keys = typer.Typer(no_args_is_help=True, help="Keys that sign models, and API keys of the serving container.")
    signing = typer.Typer(no_args_is_help=True, help="The pair of keys with which promotions are signed and verified.")
    signing.command("new")(signing_new)
    signing.command("show")(signing_show)
    api = typer.Typer(no_args_is_help=True, help="API keys of the serving container; only their hashes are kept.")
    api.command("new")(api_new)
    api.command("list")(api_list)
    api.command("disable")(api_disable)
    api.command("remove")(api_remove)
    keys.add_typer(signing, name="signing")
    keys.add_typer(api, name="api")
    app.add_typer(keys, name="keys", rich_help_panel=PANEL)


def signing_new(
    *,
    folder: Annotated[Path, typer.Option(help="Folder for the two files, outside the project's repository.")],
    as_json: AsJson = False,
) -> None:
    """Make a pair of keys. The private one stays where models are promoted, the public one goes to the serving containers."""
    from tidegate.keys.files import PRIVATE, PUBLIC, write_new
    from tidegate.keys.signing import Signer

    signer = Signer.new()
    private, public = folder.resolve() / PRIVATE_NAME, folder.resolve() / PUBLIC_NAME
    for path in (private, public):
        if path.exists():
            raise ConfigurationError(f"{path} exists and is never overwritten", next_step="name another folder")
    write_new(private, signer.private_pem(), PRIVATE)
    write_new(public, signer.public_pem(), PUBLIC)
    if as_json:
        print_json({"key_id": signer.key_id, "private_key_file": str(private), "public_key_file": str(public)})
        return
    console.print(f"key {signer.key_id}", soft_wrap=True)
    console.print(f"signing.private_key_file: {private}", soft_wrap=True, markup=False)
    console.print(f"signing.public_key_files: [{public}]", soft_wrap=True, markup=False)


def signing_show(*, as_json: AsJson = False) -> None:
    """Ids of the keys that the settings name. The one that signs must be among those that are trusted, or services refuse what it signs."""
    from tidegate.keys.signing import Signer, Verifier

    signing = open_project().settings.signing
    signer = None if signing.private_key_file is None else Signer.from_file(signing.private_key_file)
    trusted = [(str(path), Verifier.from_files([path]).key_ids[0]) for path in signing.public_key_files]
    fits = signer is None or signer.key_id in {key_id for _, key_id in trusted}
    if as_json:
        shown = [{"file": path, "key_id": key_id} for path, key_id in trusted]
        print_json({"signs": None if signer is None else signer.key_id, "trusted": shown, "fits": fits})
        return
    rows = [("trusted", key_id, path) for path, key_id in trusted]
    if signer is not None:
        rows.insert(0, ("signs", signer.key_id, str(signing.private_key_file)))
    if not rows:
        console.print("no keys in the settings: nothing is signed; [cyan]tidegate keys signing new[/] makes a pair")
        return
    print_table("Signing keys", ("role", "key", "file"), rows, whole=("role", "key"))
    if not fits:
        errors.print("[yellow]the key that signs is not among the trusted ones[/]: see signing.public_key_files")


def api_new(
    key_id: KeyId,
    *,
    scope: Annotated[
        list[str], typer.Option(help="What it may do: predict, admin, metrics. Several times for several.")
    ],
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", help="Days until it is refused. Default: never.", min=1, max=36_500)
    ] = None,
    file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it once. Only its hash is kept, so a key that was lost is replaced, not found."""
    from tidegate.keys.api_keys import new_key
    from tidegate.keys.files import locked_folder

    path, now_ms = _key_file(file), _now()
    expires_at = None if expires_days is None else now_ms + expires_days * _DAY_MS
    text, key = new_key(key_id, scope, created_at=now_ms, expires_at=expires_at)
    with locked_folder(path):
        kept = _read(path, missing_is_empty=True)
        if kept.get(key_id) is not None:
            raise ConfigurationError(
                f"there is a key {key_id} already in {path}", next_step="take another id, or remove that key first"
            )
        kept.with_key(key).write(path)
    if as_json:
        print_json(_shown(key, now_ms) | {"key": text, "file": str(path)})
        return
    console.print(text, soft_wrap=True, markup=False, highlight=False)
    errors.print(f"kept as a hash in {path}; this key is not shown again", soft_wrap=True, markup=False)


def api_list(*, file: KeyFile = None, as_json: AsJson = False) -> None:
    """The API keys of a file: ids, scopes and whether they are still good. The keys themselves are kept nowhere."""
    path, now_ms = _key_file(file), _now()
    found = [_shown(key, now_ms) for key in _read(path).keys]
    if as_json:
        print_json(found)
        return
    rows = [
        (each["id"], ", ".join(each["scopes"]), each["state"], each["created"][:10], (each["expires"] or "never")[:10])
        for each in found
    ]
    columns = ("id", "scopes", "state", "created (UTC)", "expires (UTC)")
    print_table(f"API keys in {path}", columns, rows, whole=columns)


def api_disable(key_id: KeyId, *, file: KeyFile = None, as_json: AsJson = False) -> None:
    """Refuse an API key from now on, and keep it in the file, so that the log still says whose it was."""
    _change(key_id, file, "disable", as_json=as_json)


def api_remove(key_id: KeyId, *, file: KeyFile = None, as_json: AsJson = False) -> None:
    """Take an API key out of the file."""
    _change(key_id, file, "remove", as_json=as_json)


def _change(key_id: str, file: Path | None, what: str, *, as_json: bool) -> None:
    from tidegate.keys.files import locked_folder

    path = _key_file(file)
    with locked_folder(path):
        kept = _read(path)
        key = kept.get(key_id)
        if key is None:
            raise ConfigurationError(f"there is no key {key_id} in {path}", next_step="`tidegate keys api list`")
        disabled = key.model_copy(update={"disabled": True})
        changed = kept.with_key(disabled) if what == "disable" else kept.without(key_id)
        changed.write(path)
    if as_json:
        print_json({"id": key_id, "done": what, "file": str(path)})
        return
    console.print(f"{key_id}: {what}d", soft_wrap=True, markup=False)


def _key_file(file: Path | None) -> Path:
    path = file or open_project().settings.serving.api_keys_file
    if path is None:
        raise ConfigurationError(
            "no API key file is named",
            setting="serving.api_keys_file",
            next_step="set it, or give --file, such as --file secrets/api-keys.yaml",
        )
    return path


def _read(path: Path, *, missing_is_empty: bool = False) -> "ApiKeys":
    from tidegate.keys.api_keys import ApiKeys

    return ApiKeys([]) if missing_is_empty and not path.exists() else ApiKeys.from_file(path)


def _shown(key: "ApiKey", now_ms: int) -> dict[str, Any]:
    from tidegate.bars.bars import iso

    expired = not key.disabled and not key.usable(now_ms)
    return {
        "id": key.id,
        "scopes": list(key.scopes),
        "state": "disabled" if key.disabled else "expired" if expired else "good",
        "created": iso(key.created_at),
        "expires": None if key.expires_at is None else iso(key.expires_at),
    }


def _now() -> int:
    import time

    return time.time_ns() // 1_000_000
