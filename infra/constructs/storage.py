"""What is kept: three buckets and three tables."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from functions.adapters.indexes import HELD_INDEX, LISTING_INDEX, REFERENCE_INDEX
from infra.nag import acknowledge


class Storage(Construct):
    """The buckets and the tables.

    Attributes:
        inbox: where CSVs are dropped; versioned, since a batch is one version of one object.
        images: pictures, by job id.
        metadata: a JSON document for each picture, manifests, results, recipes.
        jobs: a picture that somebody wants, by its id; its stream feeds the counters.
        batches: a batch and its parts.
        lanes: what accounts and lanes share between workers, what operators and guardrails set, what lanes did lately.
    """

    def __init__(self, scope: Construct, construct_id: str, *, removal: RemovalPolicy) -> None:
        """Make them.

        Args:
            removal: what happens to them when the stack is destroyed.
        """
        super().__init__(scope, construct_id)
        self._removal = removal
        self.inbox = self._bucket("Inbox", versioned=True)
        self.images = self._bucket("Images")
        self.metadata = self._bucket("Metadata")
        acknowledge(
            self,
            "S1",
            "Access logs would add a bucket and paid log objects for requests that only this stack's roles and "
            "the account's operators can make; who audits them has CloudTrail data events.",
        )

        self.jobs = self._table("Jobs", partition_key="job_id", stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES)
        self.jobs.add_global_secondary_index(
            index_name=REFERENCE_INDEX,
            partition_key=_text("reference"),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        # Sparse: only a job that is held has these attributes.
        self.jobs.add_global_secondary_index(
            index_name=HELD_INDEX,
            partition_key=_text("held"),
            sort_key=_text("held_at"),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.batches = self._table("Batches", partition_key="batch_id", sort_key="item")
        self.batches.add_global_secondary_index(
            index_name=LISTING_INDEX,
            partition_key=_text("listing"),
            sort_key=_text("created_at"),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.lanes = self._table("Lanes", partition_key="name", time_to_live="expires_at")

    def _bucket(self, construct_id: str, *, versioned: bool = False) -> s3.Bucket:
        # The stack deletes no current object, by age or at its end: that is the operator's decision.
        rule = s3.LifecycleRule(
            abort_incomplete_multipart_upload_after=Duration.days(1),
            # A batch lives for a week at most; a month leaves time to look at what was uploaded.
            noncurrent_version_expiration=Duration.days(30) if versioned else None,
            expired_object_delete_marker=True if versioned else None,
        )
        return s3.Bucket(
            self,
            construct_id,
            versioned=versioned,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[rule],
            removal_policy=self._removal,
        )

    def _table(
        self,
        construct_id: str,
        *,
        partition_key: str,
        sort_key: str | None = None,
        stream: dynamodb.StreamViewType | None = None,
        time_to_live: str | None = None,
    ) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            construct_id,
            partition_key=_text(partition_key),
            sort_key=_text(sort_key) if sort_key else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            # No encryption option is the AWS-owned key: encrypted at rest, and no KMS request to pay for.
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            stream=stream,
            time_to_live_attribute=time_to_live,
            removal_policy=self._removal,
        )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
