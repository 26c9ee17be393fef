"""S3 and the Redshift Data API (moto), with signatures checked: for the contract tests and those of the program. Creates the
bucket `tapes` and a user who may use it, prints port, access key id and secret access key, and ends with its standard input."""
import json
import logging
import os
import sys

# After these actions each request must be signed by a user with the right to make it.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
settings = {"region_name": "us-east-1", "endpoint_url": f"http://127.0.0.1:{port}", "aws_access_key_id": "test",
            "aws_secret_access_key": "test"}
boto3.client("s3", **settings).create_bucket(Bucket="tapes")
iam = boto3.client("iam", **settings)
iam.create_user(UserName="archiver")
key = iam.create_access_key(UserName="archiver")["AccessKey"]
actions = ["s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject", "redshift-data:*"]
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
iam.put_user_policy(UserName="archiver", PolicyName="archive", PolicyDocument=json.dumps(policy))
print(port, key["AccessKeyId"], key["SecretAccessKey"], flush=True)
sys.stdin.read()
server.stop()
