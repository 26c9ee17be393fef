//! Rules that the description of every kind follows.
#![allow(clippy::unwrap_used, reason = "tests")]

use market::Kind;
use market::table::{ColumnType, MAX_COLUMNS, Presence, Role};

#[test]
fn descriptions_are_whole() {
    for kind in Kind::ALL {
        let table = kind.table();
        assert!(table.columns.len() <= MAX_COLUMNS);
        let mut names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        let mut shown = table.shown.to_vec();
        names.sort_unstable();
        shown.sort_unstable();
        assert_eq!(names, shown, "{kind}");
        names.dedup();
        assert_eq!(names.len(), table.columns.len(), "{kind}");
        assert_eq!(table.of_role(Role::Partition).count(), 1);
        let clustering: Vec<_> = table.of_role(Role::Clustering).map(|column| column.name).collect();
        assert_eq!(clustering[..2], ["ts", "feed"], "{kind}");
        assert!(table.of_role(Role::Clustering).all(|column| column.presence == Presence::Always));
        let key = 1 + clustering.len();
        assert!(table.columns[key..].iter().all(|column| column.role == Role::Value), "{kind}");
        assert!(table.column("recv_ts").is_some_and(|column| column.class == ColumnType::Time), "{kind}");
    }
}

#[test]
fn stores_can_tell_absent_values_from_others() {
    for column in Kind::ALL.iter().flat_map(|kind| kind.table().columns) {
        let fits = match column.presence {
            Presence::Always => column.class != ColumnType::Tags,
            Presence::OrDefault => matches!(
                column.class,
                ColumnType::Text | ColumnType::Tags | ColumnType::Integer | ColumnType::Small
            ),
            // An empty list, map or tuple is no absent value in Cassandra.
            Presence::Optional => {
                !matches!(column.class, ColumnType::Codes | ColumnType::Tags | ColumnType::Time)
            }
        };
        assert!(fits, "{}: {:?} of {:?}", column.name, column.presence, column.class);
        // The second and later times have a type of their own in Cassandra, which is not one of keys.
        let is_key_time = column.class == ColumnType::Time && column.role == Role::Clustering;
        assert!(!is_key_time || column.name == "ts", "{}", column.name);
    }
}
