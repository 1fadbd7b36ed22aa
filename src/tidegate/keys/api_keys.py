"""API keys of the serving container. Only a hash of each is kept, so a file that is read by others gives no key away.

A key is `tg_<id>_<secret>`; the secret is 32 random bytes. That is why a plain SHA-256 is enough, where a password would need a slow hash: nobody
can try 2^256 secrets.
"""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tidegate.errors import ConfigurationError
from tidegate.keys import files
from tidegate.settings.loading import parse_yaml

SETTING = "serving.api_keys_file"
SCOPES: Final = ("predict", "admin", "metrics")
Scope = Literal["predict", "admin", "metrics"]
_SECRET_CHARACTERS = 43
_ID = r"[a-z0-9][a-z0-9-]{0,31}"
_KEY = re.compile(rf"tg_({_ID})_[A-Za-z0-9_-]{{{_SECRET_CHARACTERS}}}")
# What an unknown key is compared with, so that it takes as long as a wrong one.
_NOBODY = hashlib.sha256(b"no key has this hash on purpose").digest()


class ApiKey(BaseModel):
    """One key as it is kept.

    Attributes:
        id: names it in logs and on the command line: lower-case letters, digits and hyphens.
        sha256: of the whole key.
        scopes: what it may do.
        created_at: UTC ms.
        expires_at: UTC ms from which it is refused, None for never.
        disabled: refused until somebody sets it back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=rf"^{_ID}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created_at: int = Field(ge=0, strict=True)
    expires_at: int | None = Field(None, ge=0, strict=True)
    disabled: bool = Field(False, strict=True)

    @field_validator("scopes")
    @classmethod
    def _each_once(cls, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
        if len(set(scopes)) != len(scopes):
            raise ValueError("a scope stands twice")
        return scopes

    def usable(self, now_ms: int) -> bool:
        """Whether it is neither disabled nor expired."""
        return not self.disabled and (self.expires_at is None or now_ms < self.expires_at)

    def allows(self, scope: Scope) -> bool:
        """Whether it may do what a scope stands for."""
        return scope in self.scopes


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    keys: tuple[ApiKey, ...]

    @field_validator("keys")
    @classmethod
    def _ids_once(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        twice = sorted(name for name, count in Counter(key.id for key in keys).items() if count > 1)
        if twice:
            raise ValueError(f"an id stands twice: {', '.join(twice)}")
        return keys


class ApiKeys:
    """The keys of one file. A file is read once; make a new object to read it again.

    Args:
        keys: the keys, ids once each.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self.keys = tuple(keys)
        self._known = {key.id: (bytes.fromhex(key.sha256), key) for key in self.keys}

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a key file.

        Raises:
            ConfigurationError: it is missing, writable for everybody, or not such a file; nothing of it is shown.
        """
        content = files.read_trusted(path, SETTING)
        try:
            found = _File.model_validate(parse_yaml(content.decode()))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            place = getattr(error, "problem_mark", None)
            line = "" if place is None else f" (line {place.line + 1})"
            raise _broken(path, f"it is not YAML{line}") from error
        except ValidationError as error:
            raise _broken(path, _faults(error)) from None  # the cause would show the values, perhaps a key
        return cls(found.keys)

    def write(self, path: Path) -> None:
        """Write the keys over what is there; readers find the old file or the new one.

        Raises:
            ConfigurationError: it cannot be written; the old file stays.
        """
        content = _File(version=1, keys=self.keys).model_dump(mode="json", exclude_none=True)
        files.replace(path, yaml.safe_dump(content, sort_keys=False).encode(), files.PRIVATE)

    def identify(self, presented: str, now_ms: int) -> ApiKey | None:
        """Whose key this is; None for one that is unknown, wrong, disabled or expired, without telling which.

        Each of them costs one hash and one comparison in constant time.

        Args:
            presented: what the client sent, at whatever length; longer than any key is refused unread.
            now_ms: time now, UTC ms.
        """
        match = _KEY.fullmatch(presented)
        expected, key = (_NOBODY, None) if match is None else self._known.get(match[1], (_NOBODY, None))
        given = hashlib.sha256(presented[:200].encode("utf-8", "surrogatepass")).digest()
        if not hmac.compare_digest(given, expected) or key is None or not key.usable(now_ms):
            return None
        return key

    def get(self, key_id: str) -> ApiKey | None:
        """The key with an id."""
        found = self._known.get(key_id)
        return None if found is None else found[1]

    def with_key(self, key: ApiKey) -> "ApiKeys":
        """These keys and one more, or with the one of the same id replaced."""
        return ApiKeys({**{each.id: each for each in self.keys}, key.id: key}.values())

    def without(self, key_id: str) -> "ApiKeys":
        """These keys without one."""
        return ApiKeys(each for each in self.keys if each.id != key_id)


def new_key(
    key_id: str, scopes: Collection[str], *, created_at: int, expires_at: int | None = None
) -> tuple[str, ApiKey]:
    """A new key: the text for the client, which is kept nowhere, and what is kept.

    Args:
        key_id: its id.
        scopes: what it may do, at least one.
        created_at: time now, UTC ms.
        expires_at: UTC ms from which it is refused.

    Raises:
        ConfigurationError: the id or a scope is none.
    """
    if not re.fullmatch(_ID, key_id):
        raise ConfigurationError(
            "a key's id is wrong", expected="1 to 32 of a-z, 0-9 and -, not beginning with -", actual=repr(key_id)[:80]
        )
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ConfigurationError(
            f"the scopes of key {key_id} are wrong",
            expected=f"at least one of {', '.join(SCOPES)}",
            actual=", ".join(unknown) or "none",
        )
    text = f"tg_{key_id}_{secrets.token_urlsafe(32)}"
    ordered = [scope for scope in SCOPES if scope in scopes]
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    content = {"id": key_id, "sha256": sha256, "scopes": ordered, "created_at": created_at, "expires_at": expires_at}
    return text, ApiKey.model_validate(content)


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in found[:5])


def _broken(path: Path, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"API key file {path} is broken: {fault}",
        expected="a file that `tidegate keys api new` wrote",
        setting=SETTING,
        next_step="nothing was changed; mend it, or restore it from a backup",
    )
