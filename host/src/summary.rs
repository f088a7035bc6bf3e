use std::time::Duration;

use handler_host_core::{Change, Kind, Preview, PreviewSummary};

/// How many children would be changed, created and deleted.
#[derive(Default)]
pub(crate) struct ChangeCounts {
    pub(crate) changed: usize,
    pub(crate) created: usize,
    pub(crate) deleted: usize,
}

impl ChangeCounts {
    pub(crate) fn of(preview: &Preview) -> Self {
        let mut counts = Self::default();
        for change in &preview.changes {
            match change.change {
                Change::Create { .. } => counts.created += 1,
                Change::Update { .. } => counts.changed += 1,
                Change::Delete { .. } => counts.deleted += 1,
            }
        }
        counts
    }
}

impl ChangeCounts {
    /// These counts and those of parents, as the Handler's status holds them.
    pub(crate) fn summary(&self, preview: &Preview) -> PreviewSummary {
        PreviewSummary {
            parents: preview.parents,
            create: self.created,
            change: self.changed,
            delete: self.deleted,
            failing: preview.failures.len(),
        }
    }
}

/// A preview in one line.
pub(crate) fn summary(preview: &Preview, kind: &Kind, took: Duration) -> String {
    let number = |count: usize, one: &str, many: &str| {
        let words = if count == 1 { one } else { many };
        format!("{count} {words}")
    };
    let counts = ChangeCounts::of(preview);
    let spoken = kind.spoken();
    let mut parts = vec![
        number(counts.changed, "child changes", "children change"),
        number(counts.created, "is created", "are created"),
        number(counts.deleted, "is deleted", "are deleted"),
        number(
            preview.failures.len(),
            &format!("{spoken} newly fails"),
            &format!("{} newly fail", plural(&spoken)),
        ),
    ];
    if preview.already_failing > 0 {
        parts.push(number(
            preview.already_failing,
            "fails already",
            "fail already",
        ));
    }
    let parents = number(preview.parents, &kind.kind, &plural(&kind.kind));
    let (parts, took) = (parts.join(", "), took.as_secs_f64());
    format!("{parents}: {parts} ({took:.1} s)")
}

/// The plural of a kind, by the rules by which resource names are usually made.
pub(crate) fn plural(kind: &str) -> String {
    let has_sibilant_end = ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|end| kind.ends_with(end));
    if has_sibilant_end {
        return format!("{kind}es");
    }
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        Some(_) | None => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use handler_host_core::{ChildChange, ChildRef, Key, NewFailure, Reason, Verdict};
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn outcome(
        parents: usize,
        [changed, created, deleted]: [usize; 3],
        failing: [usize; 2],
    ) -> Preview {
        let object = || Value::Null;
        let updates = (0..changed).map(|_| Change::Update {
            before: object(),
            after: object(),
        });
        let creations = (0..created).map(|_| Change::Create { after: object() });
        let deletions = (0..deleted).map(|_| Change::Delete { before: object() });
        let changes = updates.chain(creations).chain(deletions);
        let key = Key::new(Some("default"), "a");
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        Preview {
            parents,
            changes: changes
                .map(|change| ChildChange {
                    parent: key.clone(),
                    child: ChildRef {
                        kind: kind.clone(),
                        key: key.clone(),
                    },
                    change,
                })
                .collect(),
            failures: vec![
                NewFailure {
                    parent: key,
                    verdict: Verdict::new(Reason::Trapped, "m"),
                };
                failing[0]
            ],
            already_failing: failing[1],
        }
    }

    #[rstest]
    #[case::many(
        outcome(1000, [10, 0, 0], [0, 0]),
        "1000 EphemeralVolumeClaims: 10 children change, 0 are created, 0 are deleted, 0 EVCs newly fail (3.1 s)"
    )]
    #[case::one_of_each(
        outcome(1, [1, 1, 1], [1, 1]),
        "1 EphemeralVolumeClaim: 1 child changes, 1 is created, 1 is deleted, 1 EVC newly fails, 1 fails already (3.1 s)"
    )]
    #[case::some_fail_already(
        outcome(3, [0, 2, 2], [2, 2]),
        "3 EphemeralVolumeClaims: 0 children change, 2 are created, 2 are deleted, 2 EVCs newly fail, 2 fail already (3.1 s)"
    )]
    fn the_summary_counts_in_words(#[case] preview: Preview, #[case] text: &str) {
        let kind = Kind::new("kopf.dev/v1", "EphemeralVolumeClaim").unwrap();
        assert_eq!(summary(&preview, &kind, Duration::from_millis(3140)), text);
    }

    #[rstest]
    #[case("Puppet", "Puppets")]
    #[case("Ingress", "Ingresses")]
    #[case("NetworkPolicy", "NetworkPolicies")]
    #[case("Gateway", "Gateways")]
    #[case("EVC", "EVCs")]
    fn kinds_have_plurals(#[case] kind: &str, #[case] text: &str) {
        assert_eq!(plural(kind), text);
    }
}
