"""The session of a browser."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=512, description="An API key.")


class CallerView(BaseModel):
    """Who makes the request."""

    name: str = Field(description="Owner of what the caller makes. `local`: the service has no keys.")
    scopes: list[str]


class SessionView(CallerView):
    csrf_token: str = Field(description="Send it as the header X-CSRF-Token with each change.")
    expires_at: datetime
