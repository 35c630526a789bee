import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, UnauthorizedSSOTokenError

from functions.core.errors import StorageError
from ops.aws_errors import explain
from ops.errors import EXIT_CODES, CommandError, RejectedError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no  more\nof that"}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (NoCredentialsError(), 3, "imagebatch local up"),
        (UnauthorizedSSOTokenError(), 3, "aws sso login"),
        (refused("ExpiredToken"), 3, "Log in again"),
        (refused("AccessDenied"), 1, "PutObject was refused. no more of that."),
        (refused("SlowDown"), 1, "PutObject (SlowDown): no more of that."),
        (EndpointConnectionError(endpoint_url="https://s3"), 1, "cannot be reached"),
        (StorageError("an object could not be read: SlowDown"), 1, "could not be read: SlowDown."),
        (FileExistsError(17, "File exists", "out"), 1, "out: File exists."),
    ],
)
def test_what_aws_said_becomes_a_sentence(error: Exception, exit_code: int, said: str) -> None:
    explained = explain(error)

    assert explained is not None
    assert explained.exit_code == exit_code
    assert said in str(explained)


def test_a_fault_of_ours_is_not_explained_away() -> None:
    assert explain(KeyError("state")) is None


def test_our_own_errors_stay_what_they_are() -> None:
    error = RejectedError("no")

    assert explain(error) is error


def test_every_exit_code_is_documented() -> None:
    kinds: list[type[CommandError]] = [CommandError, *CommandError.__subclasses__()]

    assert {kind.exit_code for kind in kinds} <= set(EXIT_CODES)
