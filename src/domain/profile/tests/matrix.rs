//! Who holds what on each shipped platform, printed: a change to a profile shows as a change to a table that people
//! read.

use std::fmt::Write as _;

use super::{super::*, shipped};

/// R000_02, R001_06, R002_17, R003_01: every role against every permission; what keys may hold; who issues which keys.
#[test]
fn roles_and_permissions() {
    let mut text = String::new();
    for (name, _) in Profile::SHIPPED {
        let profile = shipped(name);
        let columns: Vec<&str> = profile.roles.iter().map(|role| &*role.name).chain(["(keys)"]).collect();
        writeln!(text, "{name}\n{:<28}{}", "", columns.join("  ")).unwrap();
        let mut row = |label: &str, marks: &[&str]| {
            let cells: Vec<String> =
                columns.iter().zip(marks).map(|(name, mark)| format!("{mark:<0$}", name.len())).collect();
            writeln!(text, "{label:<28}{}", cells.join("  ").trim_end()).unwrap();
        };
        let levels = profile.roles.iter().map(|role| role.level.as_str()).chain(["-"]);
        row("level", &levels.collect::<Vec<_>>());
        for permission in profile.permissions.iter() {
            let sets = profile.roles.iter().map(|role| role.permissions).chain([profile.keys.grantable]);
            let marks: Vec<&str> = sets.map(|set| if set.contains(permission) { "x" } else { "." }).collect();
            row(profile.permissions.name(permission), &marks);
        }
        for kind in BoundaryKind::ALL {
            let may = profile.roles.iter().map(|role| profile.keys.may_issue(kind, Some(&role.name)));
            let marks: Vec<&str> = may.map(|may| if may { "x" } else { "." }).collect();
            row(&format!("issues {kind} keys"), &marks);
        }
        text.push('\n');
    }
    insta::assert_snapshot!("roles_and_permissions", text);
}
