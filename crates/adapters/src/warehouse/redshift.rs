//! Amazon Redshift, filled by COPY from the archive on S3. Only the Data API is spoken: requests over HTTPS, so that
//! neither a driver nor a way into the warehouse's network is needed.

mod data_api;
mod settings;
pub mod sql;

use aws::credentials::CredentialChain;
use data_api::{DataApi, Statement};
use market::Kind;
use ports::warehouse::{Load, LoadedRange, Warehouse};
use ports::{CancelToken, Error, Result};
use serde_json::Value;
pub use settings::RedshiftSettings;

/// A database of Amazon Redshift.
#[derive(Debug)]
pub struct RedshiftWarehouse {
    api: DataApi,
    schema: String,
    role: String,
    place: String,
}

impl RedshiftWarehouse {
    /// With settings and credentials; `stop` ends waiting for statements, and cancels them.
    ///
    /// # Errors
    /// A setting is missing or invalid.
    pub fn new(settings: &RedshiftSettings, credentials: CredentialChain, stop: CancelToken) -> Result<Self> {
        let place = match (settings.workgroup.as_str(), settings.cluster.as_str()) {
            ("", "") => {
                return Err(Error::usage("no Redshift given")
                    .hint("set `redshift.workgroup` (Serverless) or `redshift.cluster`"));
            }
            (workgroup, "") => workgroup,
            ("", cluster) => cluster,
            _ => return Err(Error::usage("`redshift.workgroup` and `redshift.cluster` are both set")),
        };
        sql::check_schema(&settings.schema)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || ":/+=,.@_-".contains(c);
        let role = &settings.role;
        if *role != "default" && !(role.starts_with("arn:") && role.chars().all(fits)) {
            return Err(Error::usage(format!(
                "`redshift.role`: expected an ARN or `default`, found `{role}`"
            )));
        }
        let place = format!("redshift:{place}/{}", settings.database);
        let api = DataApi::new(settings, credentials, stop)?;
        Ok(Self { api, schema: settings.schema.clone(), role: role.clone(), place })
    }
}

impl Warehouse for RedshiftWarehouse {
    fn init(&self) -> Result<()> {
        let statements = sql::tables(&self.schema);
        self.api.run(&Statement { name: "tapeline-init", sql: &statements })?;
        Ok(())
    }

    fn loaded(&self, archive: &str, kind: Kind) -> Result<Vec<LoadedRange>> {
        let statements = [sql::loaded(&self.schema, archive, kind)];
        let id = self.api.run(&Statement { name: "tapeline-loaded", sql: &statements })?;
        let rows = self.api.rows(&id)?;
        let range = |row: &Vec<Value>| {
            let number = |at: usize| row.get(at).and_then(Value::as_i64);
            Some(LoadedRange {
                topic: row.first()?.as_str()?.to_owned(),
                partition: i32::try_from(number(1)?).ok()?,
                first: number(2)?,
                last: number(3)?,
            })
        };
        rows.iter()
            .map(|row| {
                range(row).ok_or_else(|| Error::user(format!("{}: unexpected row {row:?}", self.place)))
            })
            .collect()
    }

    fn load(&self, load: &Load<'_>) -> Result<()> {
        let statements = sql::load(&self.schema, &self.role, load);
        self.api
            .run(&Statement { name: "tapeline-load", sql: &statements })
            .map_err(|error| error.context(&format!("load {} into {}", load.manifest, self.place)))?;
        Ok(())
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}
