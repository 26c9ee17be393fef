//! Settings of the warehouse.

use serde::Deserialize;
use std::time::Duration;

/// `[redshift]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedshiftSettings {
    /// Workgroup of Redshift Serverless; empty: a cluster.
    pub workgroup: String,
    /// Identifier of a provisioned cluster; empty: a workgroup.
    pub cluster: String,
    /// Name of the database.
    pub database: String,
    /// User of the database, for a cluster; empty: that of the AWS credentials.
    pub user: String,
    /// ARN of the secret in AWS Secrets Manager that holds user and password; empty: AWS credentials only.
    pub secret_arn: String,
    /// Schema of the tables.
    pub schema: String,
    /// ARN of the role with which Redshift reads the archive, or `default`.
    pub role: String,
    /// Region; empty: `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: String,
    /// URL of a server other than Amazon's; empty: `AWS_ENDPOINT_URL_REDSHIFT_DATA` or `AWS_ENDPOINT_URL`, otherwise Amazon's.
    pub endpoint: String,
    /// Longest time that statements of one load may take.
    #[serde(with = "ports::duration")]
    pub deadline: Duration,
}
