use std::time::{Duration, Instant};

/// The longest duration that a lease can be given. Whoever writes a longer one into it does not keep others out for ever.
const LONGEST: Duration = Duration::from_secs(300);

/// A lease as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The identity of its holder; None if it was given back.
    pub holder: Option<String>,
    /// How long it lasts after its last renewal.
    pub duration: Duration,
    /// Differs after each write.
    pub version: String,
}

/// What a candidate is to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bid {
    /// Take it: it has no holder, or its holder let it expire.
    Take,
    /// Renew it: the candidate holds it.
    Renew,
    /// Do nothing before this moment, unless the lease changes; None: do nothing until it changes.
    Wait(Option<Instant>),
}

/// A candidate for a lease, and what it knows of the lease.
///
/// All moments are of its own clock. The time of another holder counts from when this candidate saw the lease change, as
/// in client-go, so the clocks of machines need not agree. Time is passed in.
#[derive(Debug)]
pub struct Candidacy {
    identity: String,
    duration: Duration,
    /// The lease, and when it was seen to change; None while nothing is known.
    known: Option<(Option<Lease>, Instant)>,
}

impl Candidacy {
    /// A candidate for a lease of this duration. No other candidate may have its `identity`.
    #[must_use]
    pub fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            known: None,
        }
    }

    /// The identity of the candidate.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// How often the lease is renewed, and how long one attempt may take.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.duration / 5
    }

    /// How long after a renewal the holder may write: two thirds of the duration. Nobody else takes the lease before its
    /// whole duration is over, so the last third is for writes that are on their way.
    #[must_use]
    pub fn tenure(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Notes the lease as it was at that moment; None if there is none. For a write of its own the candidate gives the
    /// moment before the request.
    pub fn observe(&mut self, lease: Option<Lease>, at: Instant) {
        if !matches!(&self.known, Some((known, _)) if *known == lease) {
            self.known = Some((lease, at));
        }
    }

    /// Who holds the lease, as far as it is known.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let (lease, _) = self.known.as_ref()?;
        lease.as_ref()?.holder.as_deref()
    }

    /// What to do now.
    #[must_use]
    pub fn bid(&self, now: Instant) -> Bid {
        let Some((lease, seen)) = &self.known else {
            return Bid::Wait(None);
        };
        let held = lease
            .as_ref()
            .and_then(|lease| lease.holder.as_ref().map(|holder| (holder, lease.duration)));
        let (wait, then) = match held {
            None => return Bid::Take,
            Some((holder, _)) if *holder == self.identity => (self.interval(), Bid::Renew),
            Some((_, duration)) => (duration.min(LONGEST), Bid::Take),
        };
        let due = *seen + wait;
        if now < due {
            Bid::Wait(Some(due))
        } else {
            then
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn lease(holder: Option<&str>, version: &str) -> Option<Lease> {
        Some(Lease {
            holder: holder.map(str::to_owned),
            duration: DURATION,
            version: version.to_owned(),
        })
    }

    fn candidate() -> Candidacy {
        Candidacy::new("me".to_owned(), DURATION)
    }

    #[test]
    fn a_lease_that_nobody_has_is_taken_at_once() {
        let now = Instant::now();
        for (what, free) in [("none yet", None), ("given back", lease(None, "1"))] {
            let mut me = candidate();
            assert_eq!(me.bid(now), Bid::Wait(None), "{what}: nothing is known");
            me.observe(free, now);
            assert_eq!(me.bid(now), Bid::Take, "{what}");
        }
    }

    #[test]
    fn a_lease_of_another_is_left_alone_for_its_duration_after_its_last_renewal() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut me = candidate();
        me.observe(lease(Some("you"), "1"), start);
        assert_eq!(
            me.bid(start + DURATION - second),
            Bid::Wait(Some(start + DURATION))
        );
        // To see it again without a renewal changes nothing.
        me.observe(lease(Some("you"), "1"), start + second);
        assert_eq!(me.bid(start + DURATION), Bid::Take);
        me.observe(lease(Some("you"), "2"), start + DURATION);
        assert_eq!(
            me.bid(start + DURATION),
            Bid::Wait(Some(start + 2 * DURATION))
        );
    }

    #[test]
    fn ones_own_lease_is_renewed_five_times_in_its_duration() {
        let start = Instant::now();
        let mut me = candidate();
        me.observe(lease(Some("me"), "1"), start);
        let due = start + DURATION / 5;
        assert_eq!(me.bid(start), Bid::Wait(Some(due)));
        assert_eq!(me.bid(due), Bid::Renew);
    }

    #[test]
    fn the_holder_stops_before_another_may_begin() {
        let me = candidate();
        assert!(me.tenure() + me.interval() < DURATION);
        assert!(me.interval() * 2 < me.tenure());
    }
}
