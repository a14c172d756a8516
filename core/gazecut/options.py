"""Base of every component's options."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of a component: unknown keys are refused, values are not changed after the check, no text for numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False)
