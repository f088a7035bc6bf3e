use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use handler_host_core::{ChildChange, one_line};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::arguments::Color;

/// How long to search for the shortest diff of one child. After that a longer diff is accepted.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// How many unchanged lines are shown around changed ones.
const CONTEXT: usize = 3;

/// Whether lines are printed in colours.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    /// Without colours.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

#[derive(Clone, Copy)]
enum Ink {
    Bold = 1,
    Red = 31,
    Green = 32,
    Cyan = 36,
}

impl Paint {
    /// The choice of --color, for standard output.
    pub(crate) fn of(color: Color) -> Self {
        let has_no_color = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match color {
            Color::Always => Self::Coloured,
            Color::Auto if std::io::stdout().is_terminal() && !has_no_color() => Self::Coloured,
            Color::Auto | Color::Never => Self::Plain,
        }
    }

    /// A line that reports a failure.
    pub(crate) fn failure(self, line: &str) -> String {
        self.paint(Ink::Red, line)
    }

    fn paint(self, ink: Ink, line: &str) -> String {
        match self {
            Self::Plain => line.to_owned(),
            Self::Coloured => format!("\u{1b}[{}m{line}\u{1b}[0m", ink as u8),
        }
    }
}

/// A child's change as a unified diff of YAML. `candidate` names the handler and module that would make the change.
pub(crate) fn unified(change: &ChildChange, candidate: &str, paint: Paint) -> Result<String> {
    let (before, after) = (change.change.before(), change.change.after());
    let name = format!("{} {}", change.child.kind.kind, change.child.key);
    let header = |mark: &str, side: Option<&Value>, whose: &str| {
        let line = match side {
            Some(_) => format!("{mark} {name} ({whose})"),
            None => format!("{mark} /dev/null"),
        };
        paint.paint(Ink::Bold, &one_line(&line))
    };
    let mut lines = vec![
        header("---", before, "live"),
        header("+++", after, candidate),
    ];
    let (before, after) = (yaml(before)?, yaml(after)?);
    let diff = TextDiff::configure()
        .timeout(TIME_LIMIT)
        .diff_lines(&before, &after);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push(paint.paint(Ink::Cyan, &hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Equal => format!(" {text}"),
                ChangeTag::Delete => paint.paint(Ink::Red, &format!("-{text}")),
                ChangeTag::Insert => paint.paint(Ink::Green, &format!("+{text}")),
            });
        }
    }
    Ok(lines.join("\n"))
}

/// An object as YAML, without control characters, which a terminal would obey. The text is empty if there is no object.
fn yaml(object: Option<&Value>) -> Result<String> {
    let Some(object) = object else {
        return Ok(String::new());
    };
    let text = serde_saphyr::to_string(object)?;
    Ok(text.lines().map(|line| one_line(line) + "\n").collect())
}

#[cfg(test)]
mod tests {
    use handler_host_core::{Change, ChildRef, Key, Kind};
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn config_map(value: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "default", "labels": {"app": "db"}},
            "data": {"key": value, "other": "kept"},
        })
    }

    fn of(change: Change) -> ChildChange {
        ChildChange {
            parent: Key::new(Some("default"), "p"),
            child: ChildRef {
                kind: Kind::new("v1", "ConfigMap").unwrap(),
                key: Key::new(Some("default"), "a"),
            },
            change,
        }
    }

    fn printed(change: Change) -> String {
        let candidate = "handler p, sha256:e3b0c44298fc";
        unified(&of(change), candidate, Paint::Plain).unwrap()
    }

    #[test]
    fn a_changed_child_is_shown_with_three_lines_around() {
        let change = Change::Update {
            before: config_map("before"),
            after: config_map("after"),
        };
        assert_snapshot!(printed(change), @"
        --- ConfigMap default/a (live)
        +++ ConfigMap default/a (handler p, sha256:e3b0c44298fc)
        @@ -1,6 +1,6 @@
         apiVersion: v1
         data:
        -  key: before
        +  key: after
           other: kept
         kind: ConfigMap
         metadata:
        ");
    }

    #[test]
    fn a_made_child_comes_from_nothing() {
        let after = config_map("new");
        assert_snapshot!(printed(Change::Create { after }), @"
        --- /dev/null
        +++ ConfigMap default/a (handler p, sha256:e3b0c44298fc)
        @@ -0,0 +1,10 @@
        +apiVersion: v1
        +data:
        +  key: new
        +  other: kept
        +kind: ConfigMap
        +metadata:
        +  labels:
        +    app: db
        +  name: a
        +  namespace: default
        ");
    }

    #[test]
    fn a_deleted_child_goes_to_nothing() {
        let before = config_map("old");
        assert_snapshot!(printed(Change::Delete { before }), @"
        --- ConfigMap default/a (live)
        +++ /dev/null
        @@ -1,10 +0,0 @@
        -apiVersion: v1
        -data:
        -  key: old
        -  other: kept
        -kind: ConfigMap
        -metadata:
        -  labels:
        -    app: db
        -  name: a
        -  namespace: default
        ");
    }

    #[test]
    fn a_text_of_many_lines_changes_line_by_line() {
        let change = Change::Update {
            before: config_map("one\ntwo\nthree\n"),
            after: config_map("one\nTWO\nthree\n"),
        };
        assert_snapshot!(printed(change), @"
        --- ConfigMap default/a (live)
        +++ ConfigMap default/a (handler p, sha256:e3b0c44298fc)
        @@ -2,7 +2,7 @@
         data:
           key: |
             one
        -    two
        +    TWO
             three
           other: kept
         kind: ConfigMap
        ");
    }

    #[test]
    fn no_text_reaches_the_terminal_that_it_would_obey() {
        let change = Change::Update {
            before: config_map("a\u{1b}[31m\n\u{9b}2J"),
            after: config_map("b\u{1b}[31m\r\n+forged"),
        };
        let printed = printed(change);
        let obeyed = |c: char| c.is_control() && c != '\n';
        assert!(!printed.contains(obeyed), "{printed:?}");
    }

    #[test]
    fn colours_follow_the_kind_of_line() {
        let change = of(Change::Update {
            before: config_map("before"),
            after: config_map("after"),
        });
        let printed = unified(&change, "handler p, sha256:0", Paint::Coloured).unwrap();
        assert_snapshot!(printed.replace('\u{1b}', "ESC"), @"
        ESC[1m--- ConfigMap default/a (live)ESC[0m
        ESC[1m+++ ConfigMap default/a (handler p, sha256:0)ESC[0m
        ESC[36m@@ -1,6 +1,6 @@ESC[0m
         apiVersion: v1
         data:
        ESC[31m-  key: beforeESC[0m
        ESC[32m+  key: afterESC[0m
           other: kept
         kind: ConfigMap
         metadata:
        ");
    }
}
