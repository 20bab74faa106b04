"""Whether a run may be pushed to the hub, asked before it is trained for a day."""

from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from training.grpo.recipe import RecipeError, Settings


def check_access(settings: Settings) -> str:
    """The name the repository will have, made where it is not there; `RecipeError` that says what is missing."""
    name = settings.hub_model_id or Path(str(settings.output_dir)).absolute().name
    api = HfApi(token=settings.hub_token)
    who = _asked("a token of the hub for --push_to_hub (run `hf auth login`, or set HF_TOKEN)", api.whoami)
    made = _asked(
        f"that {who.get('name', 'the owner of the token')} may write to {name} on the hub (a token with write "
        "access, a --hub_model_id of yours)",
        lambda: api.create_repo(name, private=settings.hub_private_repo, exist_ok=True),
    )
    return str(made.repo_id)


def _asked(expected: str, ask: Any) -> Any:
    try:
        return ask()
    except OfflineModeIsEnabled as error:
        raise RecipeError(f"Expected {expected}; HF_HUB_OFFLINE is set, so nothing can be asked.") from error
    except (HfHubHTTPError, HFValidationError, HTTPError, OSError, ValueError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise RecipeError(f"Expected {expected}; the hub says: {told[0]}") from error
