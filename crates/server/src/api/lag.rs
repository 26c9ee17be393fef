//! `GET /api/v1/lag`: how far the consumer groups are behind, by partition.

use crate::app::App;
use crate::http::params::Params;
use crate::http::reply::{Answer, Format, List, list};
use crate::query;
use axum::extract::State;
use axum::http::HeaderMap;
use ports::topic::PartitionLag;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::IntoParams;

const COLUMNS: [&str; 6] = ["group", "topic", "partition", "committed", "end", "lag"];

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LagParams {
    /// Format of the list.
    #[serde(default)]
    format: Format,
}

/// Messages that the groups of consumer and aggregator have not committed.
#[utoipa::path(get, path = "/api/v1/lag", params(LagParams), tag = "pipeline",
    responses((status = 200, description = "One row for each group and partition that has messages, the largest lag first; without `committed` the group has committed nothing")))]
pub(crate) async fn lag(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<LagParams>,
) -> Answer {
    let (topics, groups) = (Arc::clone(&app.engines.topics), app.settings.groups.clone());
    let names = app.engines.names.all_records();
    let mut found = query::run(&app, move |_, _| {
        let mut found = Vec::new();
        for group in groups {
            let lag = topics.partition_lag(&group, &names)?;
            found.extend(
                lag.into_iter().filter(|part| part.end > part.start).map(|part| (group.clone(), part)),
            );
        }
        Ok(found)
    })
    .await?;
    found.sort_by_key(|(_, part)| std::cmp::Reverse(part.lag()));
    let rows = found.iter().map(|(group, part)| row(group, part)).collect();
    Ok(list(&headers, params.format, &List { columns: COLUMNS.to_vec(), rows, next: None }))
}

fn row(group: &str, part: &PartitionLag) -> Map<String, Value> {
    let value = json!({ "group": group, "topic": part.topic, "partition": part.partition, "end": part.end, "lag": part.lag() });
    let mut row = if let Value::Object(row) = value { row } else { Map::new() };
    if let Some(committed) = part.committed {
        row.insert("committed".to_owned(), committed.into());
    }
    row
}
