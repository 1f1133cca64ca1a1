"""All configuration: environment variables with the prefix PAYSPOOL_, validated at start."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.merchants.rules import STRIPE_URL, WISE_URL, check_stripe_key, is_sandbox
from domain.retention.rules import DEAD_LETTERS, EVENTS, Retention, problem

CHECKOUT: Final = Path(__file__).resolve().parents[1]
"""The folder that Payspool runs from."""


class BadSettings(Exception):
    """A setting cannot be used; the message names its variable and says what to do."""


class Settings(BaseSettings):
    """Where everything is and how much of it runs. Times in seconds.

    Without PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL the embedded servers are used.
    """

    model_config = SettingsConfigDict(env_prefix="PAYSPOOL_", extra="ignore")

    database_url: str | None = Field(default=None, description="PostgreSQL as the runtime role")
    owner_database_url: str | None = Field(
        default=None, description="PostgreSQL as the owner, for migrations"
    )
    redis_url: str | None = Field(default=None, description="Valkey or Redis")
    namespace: str = Field(default="payspool", pattern=r"^[a-z0-9_-]{1,40}$")
    data_dir: Path | None = Field(
        default=None, description="where the embedded servers keep their data"
    )

    stripe_url: str = Field(default="", description="empty: the sandbox in the box")
    stripe_key: str | None = Field(
        default=None, description="key for merchants that are added without one"
    )
    wise_url: str = Field(default="", description="empty: the one in the sandbox in the box")
    operator_key: str | None = Field(
        default=None, description="API key as which a person prepares and approves runs by command"
    )
    secret_keys: str = Field(
        default="", description="Fernet keys for secrets at rest, newest first, by comma"
    )

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8300, ge=0, le=65535)
    api_rate: int = Field(default=500, ge=1, le=1_000_000)
    api_burst_seconds: int = Field(default=2, ge=1, le=3600)
    api_backlog: int = Field(default=200_000, ge=1)
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8400, ge=0, le=65535)
    dashboard_url: str = Field(
        default="", description="where people reach it, as https://pay.example.com"
    )
    dashboard_session_hours: int = Field(default=12, ge=1, le=24 * 30)
    dashboard_sso_header: str = Field(
        default="", description="holds the name of who is signed in, from a trusted proxy only"
    )
    dashboard_trusted_proxies: str = Field(
        default="", description="addresses or networks of proxies, by comma"
    )
    webhook_networks: str = Field(
        default="", description="of one's own network, to send webhooks to nevertheless, by comma"
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_token: str | None = Field(default=None, min_length=16)
    event_workers: int = Field(default=1, ge=0, le=64)
    payout_threads: int = Field(default=8, ge=1, le=64)
    transfers_per_second: float = Field(
        default=20.0, ge=0, le=10_000, description="of one account at a gateway; 0: no limit"
    )
    retention_event_days: int = Field(
        default=400, ge=0, le=36_500, description="what applied events say; 0: for ever"
    )
    retention_dead_letter_days: int = Field(
        default=90, ge=0, le=36_500, description="what decided dead letters say; 0: for ever"
    )
    retention_archive: Path | None = Field(
        default=None, description="folder that keeps what goes; none: it is not kept"
    )
    log_level: str = Field(default="info", pattern=r"^(debug|info|warning|error)$")
    log_format: str = Field(default="text", pattern=r"^(text|json)$")

    @field_validator("database_url", "owner_database_url")
    @classmethod
    def _driver(cls, value: str | None) -> str | None:
        """Accept the usual ``postgresql://`` and name the driver that is installed."""
        if value is None:
            return None
        for scheme in ("postgresql://", "postgres://"):
            if value.startswith(scheme):
                return "postgresql+psycopg://" + value.removeprefix(scheme)
        if not value.startswith("postgresql+psycopg://"):
            raise ValueError("must be a PostgreSQL URL, as postgresql://user@host/payspool")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("metrics_host")
    @classmethod
    def _address(cls, value: str) -> str:
        ip_address(value)  # a ValueError that names it
        return value

    @field_validator("dashboard_url")
    @classmethod
    def _public(cls, value: str) -> str:
        address = urlsplit(value)
        if value and (
            address.scheme not in ("http", "https")
            or not address.hostname
            or address.path.strip("/")
        ):
            raise ValueError("must be an address without a path, as https://pay.example.com")
        return value.rstrip("/")

    @field_validator("retention_event_days", "retention_dead_letter_days")
    @classmethod
    def _long_enough(cls, value: int, info: ValidationInfo) -> int:
        subject = EVENTS if info.field_name == "retention_event_days" else DEAD_LETTERS
        if wrong := problem(subject, value):
            raise ValueError(wrong)
        return value

    @field_validator("dashboard_trusted_proxies", "webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for one in filter(None, value.split(",")):
            ip_network(one.strip())  # a ValueError that names it
        return value

    @field_validator("stripe_url")
    @classmethod
    def _stripe(cls, value: str) -> str:
        address = urlsplit(value)
        if value and (address.scheme not in ("http", "https") or not address.hostname):
            raise ValueError(f"must be {STRIPE_URL}, or a sandbox as http://127.0.0.1:12111")
        return value

    @field_validator("wise_url")
    @classmethod
    def _wise(cls, value: str) -> str:
        address = urlsplit(value)
        if value and (address.scheme not in ("http", "https") or not address.hostname):
            raise ValueError(f"must be {WISE_URL}, or a sandbox as http://127.0.0.1:12111/wise")
        return value.rstrip("/")

    @field_validator("secret_keys")
    @classmethod
    def _fernet(cls, value: str) -> str:
        for key in filter(None, value.split(",")):
            try:
                Fernet(key.strip())
            except ValueError:
                raise ValueError(
                    "holds a key that is not 32 bytes in URL-safe base64; `payspool keys secret` makes one"
                ) from None
        return value

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if (self.database_url is None) != (self.redis_url is None):
            raise ValueError(
                "set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL together, or neither (embedded servers)"
            )
        if bool(self.dashboard_sso_header) != bool(self.dashboard_trusted_proxies):
            raise ValueError(
                "set PAYSPOOL_DASHBOARD_SSO_HEADER and PAYSPOOL_DASHBOARD_TRUSTED_PROXIES together:"
                " a header that anybody may send would let anybody in"
            )
        if self.dashboard_sso_header and not self.dashboard_url:
            # A site that lets its own name lead to this machine has a browser here send what it likes, the header
            # too; by the name of the address it is told apart.
            raise ValueError(
                "set PAYSPOOL_DASHBOARD_URL beside PAYSPOOL_DASHBOARD_SSO_HEADER:"
                " requests for any other host are refused then, and only then"
            )
        if self.stripe_key:
            live = self.stripe_key.startswith(("sk_live_", "rk_live_"))
            address = self.stripe_url or "http://127.0.0.1 (the sandbox)"
            if live and not self.stripe_url:
                raise ValueError(
                    "PAYSPOOL_STRIPE_KEY is a live key, but without PAYSPOOL_STRIPE_URL the sandbox is used;"
                    f" set PAYSPOOL_STRIPE_URL={STRIPE_URL} to move real money"
                )
            problem = check_stripe_key(self.stripe_key, address, "live" if live else "test")
            if problem and self.stripe_url:
                raise ValueError(f"PAYSPOOL_STRIPE_KEY: {problem}")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the servers in the box are used."""
        return self.database_url is None

    @property
    def sandbox(self) -> bool:
        """Whether payouts go to a local sandbox, where business time may be simulated."""
        return not self.stripe_url or is_sandbox(self.stripe_url)

    @property
    def retention(self) -> Retention:
        """How long what was said is kept, and where it goes then."""
        return Retention(
            self.retention_event_days, self.retention_dead_letter_days, self.retention_archive
        )

    @property
    def wise_address(self) -> str:
        """Where Wise is: what was set, or the one beside the local Stripe; empty: nowhere."""
        if self.wise_url:
            return self.wise_url
        return f"{self.stripe_url.rstrip('/')}/wise" if is_sandbox(self.stripe_url) else ""

    @property
    def fernet_keys(self) -> list[str]:
        """The keys for secrets at rest, newest first."""
        return [key.strip() for key in self.secret_keys.split(",") if key.strip()]


def load() -> Settings:
    """Read the environment. Raises BadSettings, one line for each variable at fault."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"PAYSPOOL_{name}: {message}" if name else message)
        raise BadSettings("\n".join(lines)) from None
