"""RFC 9457 problem details."""

from pydantic import BaseModel, Field

from app.finetune.errors import Blame


class FieldProblem(BaseModel):
    field: str = Field(description="Path of the field, such as `stage2_epochs` or `query.limit`.")
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details, with a stable code, a hint that says what to do next, and whose fault it is."""

    type: str = Field(examples=["urn:edgeface-finetune:problem:job_not_found"])
    title: str
    status: int
    detail: str
    instance: str
    code: str
    hint: str
    blame: Blame
    request_id: str | None = Field(None, description="The X-Request-ID of the answer; the API's log has it too.")
    errors: list[FieldProblem] = Field(default_factory=list, description="The invalid fields, if any.")
