//! What a birth has defined: the metrics of an edge node or of one of its devices, by name and by alias.

use market::codec::sparkplug::payload::{Metric, RawValue};
use std::collections::{BTreeSet, HashMap};

/// A metric as its birth defined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    /// Code of the data type.
    pub(super) datatype: Option<u32>,
    /// Empty if the birth named none.
    pub(super) unit: String,
}

/// The metrics of one birth.
#[derive(Debug, Default)]
pub(super) struct MetricTable {
    definitions: Vec<Definition>,
    by_name: HashMap<String, usize>,
    by_alias: HashMap<u64, usize>,
}

impl MetricTable {
    /// The metrics of a birth; what is wrong with it is added to `reasons`.
    pub(super) fn of_birth(metrics: &[Metric<'_>], reasons: &mut Vec<String>) -> Self {
        let (mut table, mut ambiguous) = (Self::default(), BTreeSet::new());
        for metric in metrics {
            let Some(name) = metric.name.filter(|name| !name.is_empty()) else {
                reasons.push("a metric of a birth has no name".to_owned());
                continue;
            };
            let index = table.definitions.len();
            table.definitions.push(Definition {
                name: name.to_owned(),
                datatype: metric.datatype,
                unit: metric.unit.unwrap_or_default().to_owned(),
            });
            table.by_name.insert(name.to_owned(), index);
            if let Some(alias) = metric.alias
                && let Some(other) = table.by_alias.insert(alias, index)
                && table.definitions[other].name != name
            {
                ambiguous.insert(alias);
                reasons.push(format!(
                    "alias {alias} stands for `{}` and for `{name}`: it is used for neither",
                    table.definitions[other].name
                ));
            }
        }
        ambiguous.iter().for_each(|alias| _ = table.by_alias.remove(alias));
        table
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name).map(|index| &self.definitions[*index])
    }

    pub(super) fn by_alias(&self, alias: u64) -> Option<&Definition> {
        self.by_alias.get(&alias).map(|index| &self.definitions[*index])
    }
}

/// Whether a metric has a value of its own, and with it a series of its own.
pub(super) fn is_series(metric: &Metric<'_>) -> bool {
    !matches!(metric.value, Some(RawValue::Template(_)))
}
