use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::applied::{AppliedChange, Done};
use super::children::ChildRef;
use super::verdict::{Reason, Verdict};
use crate::Backoff;

/// How often a child is written in a row before its parent is called unstable.
const WRITES: u32 = 10;
/// How many passes in a row replace children by others before their parent is called unstable. It is more, since a handler
/// may replace many children one after the other.
const REPLACEMENTS: u32 = 30;
/// Writes of a child that are no further apart than this are in a row.
const WINDOW: Duration = Duration::from_secs(10);

/// Whether the children of a parent settle.
///
/// A handler is called again after what it wrote, until nothing is left to write. Some parents never get there: the
/// handler gives other children at each call, or another controller changes a child back. From the tenth write of one
/// child in a row on, the parent is passed over with backoff, and says so.
///
/// Time is passed in, so that tests need no clock.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    input: u64,
    rewritten: HashMap<ChildRef, Rewritten>,
    /// Passes in a row that created and deleted children.
    replaced: Option<Rewritten>,
}

#[derive(Clone, Debug)]
struct Rewritten {
    times: u32,
    /// From how many times on it is too often.
    limit: u32,
    last: Instant,
    change: AppliedChange,
}

/// A child that is written again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstable {
    /// What the parent is told.
    pub verdict: Verdict,
    /// When the next pass may begin, as long as the parent itself does not change.
    pub resumes: Instant,
    /// When the child is settled if it is not written until then.
    pub settled: Instant,
}

impl Settling {
    /// Notes what a pass wrote. `input` is a hash of the parent and the module: what another input leads to is no
    /// repetition.
    pub fn note(&mut self, input: u64, changes: &[AppliedChange], now: Instant) {
        if self.input != input {
            *self = Self {
                input,
                ..Self::default()
            };
        }
        self.rewritten.retain(|_, entry| now < entry.settled());
        for change in changes {
            let known = self.rewritten.get_mut(&change.child);
            // The first creation of a child repeats nothing.
            if change.done == Done::Created && known.is_none() {
                continue;
            }
            let times = known.map_or(0, |entry| entry.times);
            let entry = Rewritten {
                times: times.saturating_add(1),
                limit: WRITES,
                last: now,
                change: change.clone(),
            };
            self.rewritten.insert(change.child.clone(), entry);
        }
        let first = |done| changes.iter().find(|change| change.done == done);
        if let (Some(created), Some(_)) = (first(Done::Created), first(Done::Deleted)) {
            let before = self.replaced.take().filter(|entry| now < entry.settled());
            self.replaced = Some(Rewritten {
                times: before.map_or(0, |entry| entry.times).saturating_add(1),
                limit: REPLACEMENTS,
                last: now,
                change: created.clone(),
            });
        }
    }

    /// The child that was written most often in a row, if that is too often; None for another input.
    #[must_use]
    pub fn unstable(&self, input: u64, now: Instant) -> Option<Unstable> {
        if self.input != input {
            return None;
        }
        let entries = self.rewritten.values().chain(&self.replaced);
        let worst = entries
            .filter(|entry| entry.times >= entry.limit && now < entry.settled())
            .max_by(|one, other| {
                let rank = |entry: &Rewritten| (entry.times, entry.change.child.clone());
                rank(one).cmp(&rank(other))
            })?;
        Some(Unstable {
            verdict: worst.verdict(),
            resumes: worst.last + worst.delay(),
            settled: worst.settled(),
        })
    }
}

impl Rewritten {
    /// How long the next pass is put off.
    fn delay(&self) -> Duration {
        match self.times.checked_sub(self.limit) {
            Some(beyond) => Backoff::default().delay(beyond.saturating_add(1), 0.0),
            None => Duration::ZERO,
        }
    }

    fn settled(&self) -> Instant {
        self.last + WINDOW.max(self.delay() * 2)
    }

    fn verdict(&self) -> Verdict {
        let AppliedChange {
            child,
            done,
            fields,
            changed_by,
        } = &self.change;
        let fields = match fields.as_slice() {
            [] => String::new(),
            fields => format!(" ({})", fields.join(", ")),
        };
        let why = match (done, changed_by) {
            (Done::Restored, Some(manager)) => format!(
                "the field manager {manager} changes {child} back after each write{fields}; let one of both own the \
                 field, and leave it out of the other"
            ),
            (Done::Restored, None) => {
                format!("{child} does not stay as it is applied{fields}; something changes it back")
            }
            (Done::Updated | Done::Adopted, _) => format!(
                "the handler gives {child} another content at each call{fields}; the same input must give the same children"
            ),
            (Done::Created | Done::Deleted, _) => format!(
                "the handler desires {child} at one call and not at the next; the same input must give the same children"
            ),
        };
        let why = if self.limit == REPLACEMENTS {
            format!(
                "the handler desires other children at each call, such as {child} at the last; the same input must give the same children"
            )
        } else {
            why
        };
        let message = format!("{} writes in a row: {why}", self.limit);
        Verdict::new(Reason::Unstable, message)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Key, Kind};

    const MILLI: Duration = Duration::from_millis(1);

    fn change(name: &str, done: Done) -> AppliedChange {
        AppliedChange {
            child: ChildRef {
                kind: Kind::new("v1", "ConfigMap").unwrap(),
                key: Key::new(Some("ns"), name),
            },
            done,
            fields: vec!["data.a".to_owned()],
            changed_by: Some("kubectl".to_owned()),
        }
    }

    #[rstest]
    #[case::restored(&[Done::Restored], "kubectl changes ConfigMap a back after each write (data.a)")]
    #[case::updated(&[Done::Updated], "another content at each call (data.a)")]
    #[case::in_turns(&[Done::Deleted, Done::Created], "at one call and not at the next")]
    fn the_tenth_write_in_a_row_makes_a_parent_unstable(#[case] turns: &[Done], #[case] why: &str) {
        let (mut settling, start) = (Settling::default(), Instant::now());
        for (index, done) in turns.iter().cycle().take(9).enumerate() {
            let now = start + MILLI * u32::try_from(index).unwrap();
            settling.note(1, &[change("a", *done)], now);
            assert_eq!(settling.unstable(1, now), None);
        }
        let tenth = start + MILLI * 9;
        let done = turns[9 % turns.len()];
        settling.note(1, &[change("a", done)], tenth);
        let unstable = settling.unstable(1, tenth).unwrap();
        assert_eq!(unstable.verdict.reason, Reason::Unstable);
        assert!(
            unstable.verdict.message.contains(why),
            "{}",
            unstable.verdict.message
        );
        assert_eq!(unstable.resumes, tenth + Duration::from_secs(1));
        settling.note(1, &[change("a", done)], unstable.resumes);
        let next = settling.unstable(1, unstable.resumes).unwrap();
        assert_eq!(next.resumes, unstable.resumes + Duration::from_secs(2));
    }

    #[test]
    fn a_chain_of_new_children_is_stable() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        for index in 0..100 {
            settling.note(1, &[change(&format!("c{index}"), Done::Created)], now);
            assert_eq!(settling.unstable(1, now), None);
        }
    }

    #[test]
    fn children_that_are_replaced_by_others_for_ever_are_not() {
        let (mut settling, now) = (Settling::default(), Instant::now());
        for index in 0..30 {
            assert_eq!(settling.unstable(1, now), None);
            let (new, old) = (format!("c{index}"), format!("c{}", index + 1000));
            let changes = [change(&new, Done::Created), change(&old, Done::Deleted)];
            settling.note(1, &changes, now);
        }
        let message = settling.unstable(1, now).unwrap().verdict.message;
        assert!(
            message.contains("such as ConfigMap c29 at the last"),
            "{message}"
        );
    }

    #[test]
    fn another_input_and_a_quiet_time_begin_anew() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        for _ in 0..10 {
            settling.note(1, &[change("a", Done::Updated)], start);
        }
        let unstable = settling.unstable(1, start).unwrap();
        assert_eq!(settling.unstable(2, start), None);
        assert_eq!(settling.unstable(1, unstable.settled), None);
        settling.note(1, &[], unstable.settled);
        settling.note(1, &[change("a", Done::Updated)], unstable.settled);
        assert_eq!(settling.unstable(1, unstable.settled), None);
    }
}
