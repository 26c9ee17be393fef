"""Writes msk.txt, with which the tests of msk.rs compare: tokens of AWS's own signer (pip install
aws-msk-iam-sasl-signer-python==1.0.2) at a fixed time. A line is: region, session token or -, token."""
import datetime

import botocore.auth
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as signer
from botocore.credentials import CredentialProvider, Credentials

NOW = datetime.datetime(2026, 11, 27, 18, 0, 0)
botocore.auth.get_current_datetime = lambda *_, **__: NOW


class Fixed(CredentialProvider):
    def __init__(self, session_token):
        super().__init__()
        self.session_token = session_token

    def load(self):
        return Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", self.session_token)


for region, session_token in [("us-east-1", None), ("eu-west-1", "FwoGZXIvYXdzEB//+/=="), ("cn-north-1", "t")]:
    token, expires = signer.generate_auth_token_from_credentials_provider(region, Fixed(session_token))
    assert expires == 1795803300000, expires
    print(region, session_token or "-", token)
