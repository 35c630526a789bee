"""What AWS or the network said, as a sentence for the person at the keyboard."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as AwsConnectionError,
)

from functions.core.errors import StorageError
from ops.errors import CommandError, NotFoundError
from ops.local.errors import LocalError

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
_EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
)
_LOG_IN = "Log in again (as with `aws sso login`), name a --profile, or start the embedded AWS: `imagebatch local up`."


def explain(error: Exception) -> CommandError | None:
    """The error as the command ends with it, or None for one that is a fault of imagebatch itself."""
    match error:
        case CommandError():
            return error
        case LocalError() | StorageError():
            return CommandError(_sentence(str(error)))
        case NoCredentialsError() | PartialCredentialsError():
            return NotFoundError(
                "There are no AWS credentials, and no embedded AWS is running. Name a --profile, or start the embedded "
                "AWS with `imagebatch local up`."
            )
        case SSOError() | TokenRetrievalError():
            return NotFoundError(f"The AWS login has ended. {_LOG_IN}")
        case ClientError():
            return _refused(error)
        case AwsConnectionError() | HTTPClientError():
            return CommandError(f"AWS cannot be reached: {_sentence(str(error))} Check the network and --region.")
        case BotoCoreError():
            return CommandError(_sentence(str(error)))
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return CommandError(_sentence(f"{where}{error.strerror or error}"))
    return None


def _refused(error: ClientError) -> CommandError:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    if code in _EXPIRED:
        return NotFoundError(f"AWS does not take these credentials ({code}). {_LOG_IN}")
    if code in _DENIED:
        return CommandError(
            f"These AWS credentials may not do that: {error.operation_name} was refused. {_sentence(message)}"
        )
    return CommandError(f"AWS refused {error.operation_name} ({code}): {_sentence(message)}")


def _sentence(text: str) -> str:
    tidy = " ".join(text.split())
    return tidy if tidy.endswith((".", "!", "?")) else f"{tidy}."
