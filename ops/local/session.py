"""A boto3 session that talks to the embedded AWS and to nothing else."""

from __future__ import annotations

import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from ops.local.embedded import CREDENTIALS

# (name in the config file, environment variable, default, conversion), as botocore's Session takes them: no profile,
# no files, whatever AWS_PROFILE and ~/.aws say.
_NOTHING_OF_THE_PERSONS_OWN = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class EmbeddedSession(boto3.Session):
    """A boto3 session whose clients all talk to ``endpoint_url``, past the person's own AWS set-up and proxy."""

    def __init__(self, endpoint_url: str) -> None:
        core = botocore.session.Session(_NOTHING_OF_THE_PERSONS_OWN)
        core.set_default_client_config(Config(proxies={}))
        super().__init__(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
            botocore_session=core,
        )
        self._endpoint_url = endpoint_url

    def client(self, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`boto3.Session.client`."""
        return super().client(*args, **{"endpoint_url": self._endpoint_url} | kwargs)
