use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pass that needs less than this, in bytes, never waits for memory. The number of workers bounds how many there are.
const SMALL: usize = 64 << 10;
/// The unit in which memory is counted.
const KIB: usize = 1 << 10;

/// The memory for what handlers are given and answer, of all handlers together. A pass has its part from before the call until
/// its children are written. One handler has at most half of it.
#[derive(Clone, Debug, Default)]
pub struct AnswerMemory(Option<Counted>);

#[derive(Clone, Debug)]
struct Counted {
    total: usize,
    left: Arc<Semaphore>,
}

/// The part of one handler.
pub(crate) struct HandlerAnswers(Option<HandlerCounted>);

struct HandlerCounted {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    /// The most that one pass can have, in bytes: all that the handler can.
    most: usize,
    /// What an answer will probably need, in bytes: a little more than the last one did. Zero for a small one.
    expected: AtomicUsize,
}

/// The memory of one pass. Dropping it gives the memory back.
pub(crate) struct Held {
    /// The bytes that there are for the answer.
    pub(crate) answer: usize,
    input: usize,
    permits: Option<[OwnedSemaphorePermit; 2]>,
}

impl AnswerMemory {
    /// So many bytes; None sets no bound.
    #[must_use]
    pub fn new(total: Option<usize>) -> Self {
        Self(total.map(|total| {
            // A handler's half is to be more than what needs no memory.
            let total = total.max(4 * SMALL);
            let left = Arc::new(Semaphore::new(total / KIB));
            Counted { total, left }
        }))
    }

    /// The part of a handler.
    pub(crate) fn of_handler(&self) -> HandlerAnswers {
        HandlerAnswers(self.0.as_ref().map(|Counted { total, left }| {
            let most = total / 2;
            HandlerCounted {
                all: left.clone(),
                own: Arc::new(Semaphore::new(most / KIB)),
                most,
                expected: AtomicUsize::new(0),
            }
        }))
    }
}

impl HandlerAnswers {
    /// Waits for the memory that a pass probably needs, for an input of so many bytes.
    pub(crate) async fn hold_expected(&self, input: usize) -> Held {
        match &self.0 {
            None => Held {
                answer: usize::MAX,
                input,
                permits: None,
            },
            Some(counted) => {
                let expected = counted.expected.load(Ordering::Relaxed);
                counted.hold(input, expected.max(SMALL)).await
            }
        }
    }

    /// Waits for all the memory that a pass can have. Who holds some has to give it back before.
    pub(crate) async fn hold_most(&self, input: usize) -> Held {
        match &self.0 {
            None => self.hold_expected(input).await,
            Some(counted) => counted.hold(input, counted.most).await,
        }
    }

    /// The most that an answer can have, in bytes.
    pub(crate) fn most(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, |counted| counted.most)
    }

    /// Notes what an answer needed, and gives back what it did not.
    pub(crate) fn needed(&self, held: &mut Held, answer: usize) {
        let Some(counted) = &self.0 else {
            return;
        };
        // The next one may need a little more.
        let next = answer.saturating_add(answer / 4).min(counted.most);
        if answer > SMALL || held.permits.is_some() {
            counted.expected.store(next, Ordering::Relaxed);
        }
        let needed = kib(held.input.saturating_add(answer));
        held.answer = answer;
        for permit in held.permits.iter_mut().flatten() {
            let spare = permit.num_permits().saturating_sub(needed);
            drop(permit.split(spare));
        }
    }
}

impl HandlerCounted {
    async fn hold(&self, input: usize, answer: usize) -> Held {
        let bytes = input.saturating_add(answer);
        if bytes <= 2 * SMALL && answer <= SMALL {
            return Held {
                answer: SMALL,
                input,
                permits: None,
            };
        }
        let bytes = bytes.min(self.most);
        let units = u32::try_from(kib(bytes)).unwrap_or(u32::MAX);
        // First of the handler's own: who waits there keeps nothing from others.
        let own = self.own.clone().acquire_many_owned(units).await;
        let all = self.all.clone().acquire_many_owned(units).await;
        Held {
            answer: bytes.saturating_sub(input).max(SMALL),
            input,
            // Nobody closes the semaphores.
            permits: own.ok().zip(all.ok()).map(|(own, all)| [own, all]),
        }
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(KIB)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn a_small_answer_needs_no_memory() {
        let all = AnswerMemory::new(Some(MIB));
        let (hog, other) = (all.of_handler(), all.of_handler());
        let _most = [hog.hold_most(0).await, all.of_handler().hold_most(0).await];
        assert_eq!(other.hold_expected(SMALL).await.answer, SMALL);
        assert!(other.hold_most(0).now_or_never().is_none());
    }

    #[tokio::test]
    async fn one_handler_has_half_and_waits_for_itself() {
        let all = AnswerMemory::new(Some(4 * MIB));
        let (hog, other) = (all.of_handler(), all.of_handler());
        let mut held = hog.hold_most(0).await;
        assert_eq!(held.answer, 2 * MIB);
        assert!(hog.hold_most(0).now_or_never().is_none());
        assert!(other.hold_most(0).now_or_never().is_some());
        // What it did not need is there for its next pass, which expects as much and a quarter more.
        hog.needed(&mut held, 800 * KIB);
        assert_eq!(hog.hold_expected(0).await.answer, 1000 * KIB);
        drop(held);
        assert!(hog.hold_most(0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn after_a_small_answer_the_next_one_is_expected_to_be_small() {
        let answers = AnswerMemory::new(Some(4 * MIB)).of_handler();
        let mut held = answers.hold_most(0).await;
        answers.needed(&mut held, 300 * KIB);
        let mut held = answers.hold_expected(0).await;
        assert_eq!(held.answer, 375 * KIB);
        answers.needed(&mut held, 100);
        assert!(answers.hold_expected(0).await.permits.is_none());
    }

    #[tokio::test]
    async fn an_input_that_is_large_leaves_less_for_the_answer() {
        let answers = AnswerMemory::new(Some(4 * MIB)).of_handler();
        assert_eq!(answers.hold_most(MIB).await.answer, MIB);
        assert_eq!(answers.hold_most(10 * MIB).await.answer, SMALL);
    }

    #[tokio::test]
    async fn without_a_bound_an_answer_has_all() {
        let answers = AnswerMemory::default().of_handler();
        assert_eq!(answers.hold_expected(0).await.answer, usize::MAX);
        assert_eq!(answers.hold_most(0).await.answer, usize::MAX);
    }
}
