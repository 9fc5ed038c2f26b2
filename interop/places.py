"""Places of repositories in these suites: directories, S3 buckets, Azure containers."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path


def s3(endpoint):
    """A client of an S3 server, with the keys that the environment has."""
    import boto3
    from botocore.config import Config

    settings = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}, max_pool_connections=50)
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=settings,
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )


def public_bucket(endpoint, name, readable=("s3:GetObject", "s3:ListBucket"), **options):
    """Makes a bucket that everybody may read, and gives a client of its server."""
    client = s3(endpoint)
    client.create_bucket(Bucket=name, **options)
    resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": list(readable), "Resource": resources}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return client


def azure_container(endpoint, name):
    """Makes a container of the account that the environment has, unless it exists."""
    account, key = os.environ["AZURE_STORAGE_ACCOUNT_NAME"], base64.b64decode(os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    headers = f"x-ms-date:{now}\nx-ms-version:2021-08-06"
    text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n/{account}/{account}/{name}\nrestype:container"
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", data=b"")
    for header, value in [("x-ms-date", now), ("x-ms-version", "2021-08-06"), ("Authorization", f"SharedKey {account}:{signature}"), ("Content-Length", "0")]:
        request.add_header(header, value)
    request.add_header("Content-Type", "")
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        assert error.code == 409, error


class Directory:
    """A local directory for each name below one parent."""

    kind = "local"

    def __init__(self, parent):
        self.parent = Path(parent)

    def config(self, name):
        return f"repo: {self.parent / name}\n"

    def copy(self, source, target):
        self.remove(target)
        shutil.copytree(self.parent / source, self.parent / target, copy_function=os.link)

    def remove(self, name):
        shutil.rmtree(self.parent / name, ignore_errors=True)

    def read(self, name, path):
        try:
            return (self.parent / name / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def leftovers(self, name):
        """What a run left that is neither repository nor found by prune."""
        return [str(path) for path in (self.parent / name / ".staging").glob("*")]


class Bucket:
    """A prefix for each name in one bucket of an S3 server on loopback."""

    kind = "s3"

    def __init__(self, endpoint, bucket, conditions="enforced"):
        self.endpoint, self.bucket, self.conditions = endpoint, bucket, conditions
        self.s3 = s3(endpoint)
        try:
            self.s3.create_bucket(Bucket=bucket)
        except self.s3.exceptions.ClientError as error:
            if "BucketAlready" not in str(error):
                raise

    def config(self, name, endpoint=None):
        return f"repo: s3://{self.bucket}/{name}\nstore:\n  endpoint: {endpoint or self.endpoint}\n  conditions: {self.conditions}\n"

    def keys(self, name):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{name}/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def copy(self, source, target):
        self.remove(target)
        for key in self.keys(source):
            self.s3.copy_object(Bucket=self.bucket, Key=target + key[len(source):], CopySource={"Bucket": self.bucket, "Key": key})

    def remove(self, name):
        for key in self.keys(name):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def read(self, name, path):
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=f"{name}/{path}")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None

    def leftovers(self, name):
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [upload["Key"] for upload in uploads if upload["Key"].startswith(f"{name}/")]
