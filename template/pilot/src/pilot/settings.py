"""Every setting of the pilot: a variable `PILOT_*`, or a file of that name in the folder of secrets."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import PilotError

_SQLITE = "sqlite:///"
# The variables that Kubernetes sets in each container for a Service whose name begins with `pilot`.
_SERVICE_LINK = re.compile(
    r"PILOT\w*_SERVICE_(HOST|PORT\w*)=.*|PILOT\w*_PORT(_\d+_(TCP|UDP|SCTP))?=\w+://.*"
    r"|PILOT\w*_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*"
)
_THRESHOLDS = TypeAdapter(dict[str, Annotated[float, Field(ge=0, le=1)]])
PLACEHOLDERS = {"changeme", "change-me", "placeholder", "secret", "password", "todo", "xxx", "example"}


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds the charter; `start` itself if there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "phases" / "1-scope" / "charter.md").is_file():
            return folder
    return start


class Settings(BaseSettings):
    """Typed and documented once. Relative paths start at the pilot's root. Secrets never show in messages."""

    model_config = SettingsConfigDict(env_prefix="PILOT_", extra="ignore", hide_input_in_errors=True)

    root: Path = Field(default_factory=find_root, description="Folder of the pilot, which holds phases/.")
    database_url: str = Field(
        "sqlite:///var/pilot.db",
        description="Where the records are: sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, without a password.",
    )
    plain_hosts: str = Field(
        "",
        description="Hosts, separated by commas, that are reached without TLS although they are not this machine: for "
        "a network that nobody else is on, such as Compose's. All others must show a certificate that holds.",
    )
    database_password: SecretStr | None = Field(None, description="Password of the database. A secret.")
    data_key: SecretStr | None = Field(
        None,
        description="Encrypts contents in the database. Fernet keys, newest first, separated by commas. A secret. "
        "Must be set where the charter says that the pilot is regulated.",
    )
    retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which `pilot data purge` erases contents; 0: never. At least 183 in a pilot that is "
        "regulated.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port that gives the metrics without a key, for a network that only Prometheus reaches; 0: none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    models: Path = Field(Path("var/models"), description="The model store, which training fills.")
    default_models: Path = Field(
        Path("var/default-models"),
        description="The store to use while the first is empty: the image's own.",
    )
    threshold: float = Field(0.8, ge=0, le=1, description="Mode auto uses an answer from this confidence on.")
    thresholds: Annotated[dict[str, float], NoDecode] = Field(
        {},
        description='Thresholds of single fields in mode auto, as JSON such as {"total": 0.95}; a field that is not '
        "named has `threshold`.",
    )
    model_deadline: float = Field(20.0, gt=0, le=600, description="Seconds until an answer counts as timed out.")
    known_interval: float = Field(
        120.0, ge=0, le=210, description="Seconds between two known items, which the service asks for itself; 0: none."
    )
    known_daily_cost: float = Field(
        1.0,
        ge=0,
        description="Most that known items may cost a day, in the charter's currency, where it is bought.",
    )
    caller_rate: int = Field(
        6000, ge=0, description="Most items that a caller may send a minute to one process; more get 429. 0: no limit."
    )
    caller_daily_cost: float | None = Field(
        None, gt=0, description="Most that a caller's answers may cost a day, in the charter's currency; then 429."
    )
    daily_cost: float | None = Field(
        None,
        gt=0,
        description="Most that all answers may cost a day, in the charter's currency; then people decide.",
    )
    max_body: int = Field(256 * 1024, ge=1024, description="Largest request body in bytes.")
    max_batch: int = Field(64, ge=1, le=4096, description="Most items in one batch for a local model.")
    max_calls: int = Field(16, ge=1, le=1024, description="Most calls of a remote model at the same time.")
    max_waiting: int = Field(1024, ge=1, description="Most requests that wait; more get 503 with Retry-After.")
    public_url: str | None = Field(
        None, description="Where people reach the pages, such as https://triage.example.com: for signing in by OIDC."
    )
    oidc_issuer: str | None = Field(
        None,
        description="The identity provider by which reviewers sign in (OpenID Connect), beside their keys: its issuer.",
    )
    oidc_client_id: str | None = Field(None, description="Id of this pilot at the identity provider.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Secret of this pilot at the identity provider, unless it is a public client. A secret."
    )
    oidc_claim: str = Field(
        "email",
        min_length=1,
        description="The claim that is the name of a reviewer's key. `email` must be verified by the provider; where "
        "it does not say so, a claim that people cannot change themselves, such as `sub`.",
    )
    llm_model: str | None = Field(None, description="The LLM, as Pydantic AI names it: PROVIDER:NAME.")
    llm_base_url: str | None = Field(None, description="OpenAI-compatible endpoint, if not the provider's own.")
    llm_api_key: SecretStr | None = Field(None, description="Key of the LLM's provider. A secret.")
    llm_retries: int = Field(2, ge=0, le=5, description="Repeats of a failed call, inside the deadline.")
    llm_temperature: float | None = Field(
        0, ge=0, le=2, description="Temperature of the LLM; empty: its own. Left out once the provider refuses it."
    )
    llm_max_tokens: int | None = Field(
        None,
        ge=16,
        description="Most tokens of an answer, thoughts included; empty: 2000 for a label or one value, 8000 for "
        "several fields or a draft.",
    )
    llm_redact: str | None = Field(
        None,
        pattern="^[A-Za-z]{2}$",
        description="Takes e-mail addresses, IBANs, card and phone numbers out of an item before the LLM gets it. Two "
        "letters: the country whose phone numbers are written without a country code.",
    )
    llm_price_input: float | None = Field(
        None, ge=0, description="Price of a million input tokens, in the charter's currency."
    )
    llm_price_output: float | None = Field(
        None, ge=0, description="Price of a million output tokens, in the charter's currency."
    )

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value.startswith(_SQLITE):
            return value
        if not value.startswith("postgresql://"):
            raise ValueError("must start with sqlite:/// or postgresql://")
        try:
            url = make_url(value)
        except (SQLAlchemyError, ValueError):
            raise ValueError("must look like postgresql://USER@HOST:PORT/NAME") from None
        if url.password is not None or "password" in url.query:
            raise ValueError("must not hold a password; put it into the file that PILOT_DATABASE_PASSWORD_FILE names")
        if url.query.get("sslmode", "verify-full") != "verify-full":
            raise ValueError("must not weaken TLS by sslmode; name a host that has none in PILOT_PLAIN_HOSTS")
        return value

    @field_validator("thresholds", mode="before")
    @classmethod
    def _by_field(cls, value: Any) -> dict[str, float]:
        try:
            if isinstance(value, str):
                return _THRESHOLDS.validate_json(value or "{}")
            return _THRESHOLDS.validate_python(value)
        except ValidationError:
            raise ValueError('must be JSON that gives fields a number from 0 to 1, such as {"total": 0.95}') from None

    @field_validator("llm_temperature", "llm_max_tokens", "llm_redact", mode="before")
    @classmethod
    def _or_its_own(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("database_password", "data_key", "oidc_client_secret", "llm_api_key")
    @classmethod
    def _real_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if not text:
            raise ValueError("is empty; set it, or leave the variable out")
        if text.lower() in PLACEHOLDERS:
            raise ValueError("is a placeholder; run `pilot secrets init`, or set the real one")
        return SecretStr(text)

    @field_validator("data_key")
    @classmethod
    def _fernet_keys(cls, value: SecretStr | None) -> SecretStr | None:
        for key in value.get_secret_value().split(",") if value else ():
            try:
                Fernet(key.strip())
            except ValueError:
                raise ValueError("is not a list of Fernet keys; `pilot secrets init` makes one") from None
        return value

    @model_validator(mode="after")
    def _paths_from_root(self) -> Settings:
        self.models = self.root / self.models
        self.default_models = self.root / self.default_models
        if self.database_url.startswith(_SQLITE):
            self.database_url = f"{_SQLITE}{self.root / self.database_url.removeprefix(_SQLITE)}"
        return self

    @model_validator(mode="after")
    def _reached_by_tls(self) -> Settings:
        for name in ("llm_base_url", "oidc_issuer", "public_url"):
            address = urlsplit(getattr(self, name) or "")
            if address.scheme == "http" and not self.is_plain(address.hostname or ""):
                raise ValueError(
                    f"PILOT_{name.upper()} must begin with https://, or its host must be named in PILOT_PLAIN_HOSTS"
                )
        return self

    @model_validator(mode="after")
    def _whole_sign_in(self) -> Settings:
        needed = ("oidc_issuer", "oidc_client_id", "public_url")
        missing = [f"PILOT_{name.upper()}" for name in needed if not getattr(self, name)]
        if missing and (self.oidc_issuer or self.oidc_client_id):
            raise ValueError(f"signing in by an identity provider needs {' and '.join(missing)} too")
        for name in ("oidc_issuer", "public_url"):
            address = urlsplit(getattr(self, name) or "https://none")
            if address.scheme not in ("http", "https") or not address.hostname:
                raise ValueError(f"PILOT_{name.upper()} must look like https://HOST")
        self.public_url = self.public_url and self.public_url.rstrip("/")
        return self

    def is_plain(self, host: str) -> bool:
        """Whether a host is reached without TLS: this machine, a socket, or one of `plain_hosts`."""
        if host in ("", "localhost") or host.startswith("/") or host in map(str.strip, self.plain_hosts.split(",")):
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    def threshold_of(self, field: str) -> float:
        """The confidence from which mode auto uses an answer's field."""
        return self.thresholds.get(field, self.threshold)

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database; None for PostgreSQL."""
        file = self.database_url.removeprefix(_SQLITE)
        return Path(file) if file != self.database_url else None

    @property
    def data_keys(self) -> tuple[str, ...]:
        """The Fernet keys, the one that encrypts first."""
        return data_keys(self.data_key) if self.data_key else ()


def data_keys(value: SecretStr) -> tuple[str, ...]:
    """The Fernet keys of the setting `data_key`, the one that encrypts first."""
    return tuple(key.strip() for key in value.get_secret_value().split(","))


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)


def _secret_files(root: Path) -> tuple[dict[str, str], list[str]]:
    """The secrets that stand in files, and what is wrong with those files. A variable wins over a file."""
    values, problems = {}, []
    for name in SECRETS:
        variable = f"PILOT_{name.upper()}"
        named = os.environ.get(f"{variable}_FILE")
        file = Path(named) if named else root / "secrets" / name
        if variable in os.environ or not (named or file.is_file()):
            continue
        try:
            values[name] = file.read_text(encoding="utf-8")
            if file.stat().st_mode & stat.S_IROTH:
                problems.append(
                    f"{variable}_FILE: every user of this machine can read {file}; chmod 600 it, or give the mount a "
                    "mode such as 0440"
                )
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{variable}_FILE: {file} cannot be read ({type(error).__name__}); mount the secret there")
    return values, problems


def changed_secrets(settings: Settings) -> dict[str, SecretStr]:
    """The secrets in files that are no longer those of `settings`, by name.

    Raises PilotError that names what cannot be used, without values.
    """
    values, problems = _secret_files(settings.root)
    if problems:
        raise PilotError("; ".join(problems))
    try:
        fresh = Settings(root=settings.root, **values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise PilotError("; ".join(_problems(error))) from None
    return {name: getattr(fresh, name) for name in values if getattr(fresh, name) != getattr(settings, name)}


def _problems(error: ValidationError) -> Iterator[str]:
    """What is wrong with the settings, by their variables, without values."""
    for problem in error.errors(include_input=False, include_url=False):
        said = problem["msg"].removeprefix("Value error, ")
        name = "_".join(str(part) for part in problem["loc"]).upper()
        yield f"PILOT_{name}: {said}" if name else said


def _service_links() -> set[str]:
    return {name for name, value in os.environ.items() if _SERVICE_LINK.fullmatch(f"{name}={value}")}


def _unknown_variables() -> list[str]:
    # PILOT_UID is Compose's. It is in .env, which people also load into their shell.
    known = {"PILOT_UID", *(f"PILOT_{name.upper()}" for name in Settings.model_fields)} | {
        f"PILOT_{name.upper()}_FILE" for name in SECRETS
    }
    problems = []
    for name in sorted(os.environ.keys() - _service_links()):
        if name.startswith("PILOT_") and name not in known and not name.startswith("PILOT_TEST_"):
            near = get_close_matches(name, known, 1)
            problems.append(f"{name}: is not a setting" + (f"; did you mean {near[0]}?" if near else "; remove it"))
    return problems


def load_settings(**changes: Any) -> Settings:
    """The settings in force: `changes`, else the environment, else the files of secrets, else the defaults.

    Raises PilotError that lists every wrong setting at once, without values.
    """
    root = Path(changes.get("root") or os.environ.get("PILOT_ROOT") or find_root())
    files, problems = _secret_files(root)
    problems += _unknown_variables()
    for name, field in Settings.model_fields.items():
        if f"PILOT_{name.upper()}" in _service_links():
            changes.setdefault(name, field.default)
    try:
        settings = Settings(**{"root": root, **files, **changes})
    except ValidationError as error:
        problems += _problems(error)
    if problems:
        raise PilotError("These settings are wrong. Fix them and start again:\n  " + "\n  ".join(problems))
    return settings


# The user of the image. Files of a root user are given to it; anybody else runs the container as himself.
IMAGE_USER = 10001


def make_secrets(root: Path) -> Iterator[str]:
    """Makes the secrets for development that are missing, as files that Compose mounts; yields a line for each."""
    folder = root / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    user = IMAGE_USER if os.getuid() == 0 else os.getuid()
    if os.getuid() == 0:
        os.chown(folder, user, user)
    for name, value in (("database_password", secrets.token_urlsafe(32)), ("data_key", Fernet.generate_key().decode())):
        file = folder / name
        if file.exists():
            yield f"{file.relative_to(root)} is there already"
            continue
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(value)
        if os.getuid() == 0:
            os.chown(file, user, user)
        yield f"made {file.relative_to(root)}"
    environment = root / ".env"
    lines = environment.read_text(encoding="utf-8").splitlines() if environment.exists() else []
    if not any(line.startswith("PILOT_UID=") for line in lines):
        environment.write_text("\n".join([*lines, f"PILOT_UID={user}"]) + "\n", encoding="utf-8")
        yield f"set PILOT_UID={user} in .env"
