use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handler_host_core::{
    Call, CallLimits, Digest, Effort, Failure, Invoke, KeptChild, ParentCondition, Query,
    Readiness, RelatedCall, Response, Selection,
};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

/// The bytes that an entry takes beside its answer: the key, and what the cache notes of an entry.
const ENTRY_BYTES: usize = 32 + 224;

/// An answer may take this share of the memo.
const LARGEST_SHARE: u64 = 64;

type MemoKey = [u8; 32];

/// What a handler answered.
enum RememberedAnswer {
    Reconcile(Result<Response, Failure>),
    Related(Result<Vec<Query>, Failure>),
}

/// Remembers the answers of handlers. A handler is a pure function of its input, so a module need not run
/// twice for the same input. There is one memo for the whole host, bounded in bytes; the answers that were used
/// least are dropped first.
///
/// A call that was stopped is not remembered, because deadlines and memory limits depend on the host and not on
/// the input. The log lines of a call are not repeated with its remembered answer.
pub struct Memo {
    answers: Option<Cache<MemoKey, Arc<RememberedAnswer>>>,
    /// The bytes of the largest answer that is remembered. Few large ones would leave no place for many small ones.
    largest: u64,
}

/// A handler whose answers are remembered.
pub struct Memoised {
    memo: Arc<Memo>,
    invoke: Arc<dyn Invoke>,
    limits: CallLimits,
    tally: Arc<Tally>,
}

/// Counts the calls of a handler, whichever module it has.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU64,
    hits: AtomicU64,
}

/// How often a handler was called, and how often it did not have to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoCounts {
    /// All calls.
    pub calls: u64,
    /// The calls that were answered without running the guest.
    pub hits: u64,
}

impl Memo {
    /// A memo of about this many bytes. With 0 bytes it remembers nothing.
    #[must_use]
    pub fn new(bytes: u64) -> Arc<Self> {
        let answers = (bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(bytes)
                .weigher(|_, answer: &Arc<RememberedAnswer>| weight(answer))
                .build()
        });
        Arc::new(Self {
            answers,
            largest: bytes / LARGEST_SHARE,
        })
    }

    /// The same handler, with its answers remembered in this memo and its calls counted in `tally`. Handlers of
    /// one module share the answers. `limits` are the limits of its calls and part of the key: a guest that
    /// copes with a refused allocation may answer differently with more memory.
    #[must_use]
    pub fn wrap(
        self: &Arc<Self>,
        invoke: Arc<dyn Invoke>,
        limits: CallLimits,
        tally: &Arc<Tally>,
    ) -> Memoised {
        Memoised {
            memo: Arc::clone(self),
            invoke,
            limits,
            tally: Arc::clone(tally),
        }
    }
}

impl Tally {
    /// How often the handler was called so far.
    #[must_use]
    pub fn counts(&self) -> MemoCounts {
        // Hits are read first, so that a call in between cannot make them more than the calls.
        let hits = self.hits.load(Ordering::Acquire);
        MemoCounts {
            calls: self.calls.load(Ordering::Acquire),
            hits,
        }
    }
}

impl Invoke for Memoised {
    fn digest(&self) -> Digest {
        self.invoke.digest()
    }

    fn work(&self, work: Box<dyn FnOnce() + Send>) {
        self.invoke.work(work);
    }

    fn invoke_measured(&self, call: &Call<'_>) -> (Result<Response, Failure>, Effort) {
        self.remembered(
            || key(self.invoke.digest(), self.limits, call),
            || self.invoke.invoke_measured(call),
            RememberedAnswer::Reconcile,
            |answer| match answer {
                RememberedAnswer::Reconcile(answer) => Some(answer),
                RememberedAnswer::Related(_) => None,
            },
        )
    }

    fn related_measured(&self, call: &RelatedCall<'_>) -> (Result<Vec<Query>, Failure>, Effort) {
        self.remembered(
            || key_of_related(self.invoke.digest(), self.limits, call),
            || self.invoke.related_measured(call),
            RememberedAnswer::Related,
            |answer| match answer {
                RememberedAnswer::Related(answer) => Some(answer),
                RememberedAnswer::Reconcile(_) => None,
            },
        )
    }
}

impl Memoised {
    /// The answer to an input, from memory or from a call. `wrap` and `unwrap` are the way between an answer and what is
    /// remembered.
    fn remembered<T: Clone>(
        &self,
        key: impl Fn() -> MemoKey,
        call: impl Fn() -> (Result<T, Failure>, Effort),
        wrap: impl Fn(Result<T, Failure>) -> RememberedAnswer,
        unwrap: impl Fn(&RememberedAnswer) -> Option<&Result<T, Failure>>,
    ) -> (Result<T, Failure>, Effort) {
        self.tally.calls.fetch_add(1, Ordering::AcqRel);
        let Some(answers) = &self.memo.answers else {
            return call();
        };
        let key = key();
        if let Some(known) = answers.get(&key)
            && let Some(answer) = unwrap(&known)
        {
            self.tally.hits.fetch_add(1, Ordering::AcqRel);
            return (answer.clone(), Effort::Remembered);
        }
        let (answer, effort) = call();
        if is_of_the_input(&answer) {
            let answer = wrap(answer.clone());
            if u64::from(weight(&answer)) <= self.memo.largest {
                answers.insert(key, Arc::new(answer));
            }
        }
        (answer, effort)
    }
}

fn is_of_the_input<T>(answer: &Result<T, Failure>) -> bool {
    match answer {
        Ok(_) | Err(Failure::Permanent { .. } | Failure::Temporary { .. }) => true,
        Err(Failure::Fault(_)) => false,
    }
}

/// Digests everything that `reconcile` can see. The object's name is included because it seeds the guest's random
/// numbers.
fn key(module: Digest, limits: CallLimits, call: &Call<'_>) -> MemoKey {
    let Call {
        object,
        parent,
        children,
        related,
        config,
        now,
        room: _,
    } = call;
    let mut key = KeyBuilder::new(b'c', module, limits);
    for text in [config, object, parent] {
        key.add(text);
    }
    key.add_all(children);
    for answer in *related {
        key.add_all(answer);
    }
    key.number(now.map_or(0, |now| now.0));
    key.finish()
}

/// Digests everything that `related` can see.
fn key_of_related(module: Digest, limits: CallLimits, call: &RelatedCall<'_>) -> MemoKey {
    let RelatedCall {
        object,
        parent,
        config,
    } = call;
    let mut key = KeyBuilder::new(b'r', module, limits);
    for text in [config, object, parent] {
        key.add(text);
    }
    key.finish()
}

/// Digests an input. Lengths and counts keep inputs apart that are the same bytes, cut at different places.
struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// `function` tells apart which one is called.
    fn new(function: u8, module: Digest, limits: CallLimits) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([function]);
        hasher.update(module.as_bytes());
        hasher.update(limits.memory.to_le_bytes());
        Self(hasher)
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn add(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn add_all(&mut self, texts: &[&str]) {
        self.number(texts.len() as u64);
        for text in texts {
            self.add(text);
        }
    }

    fn finish(self) -> MemoKey {
        self.0.finalize().into()
    }
}

fn weight(answer: &RememberedAnswer) -> u32 {
    let texts = match answer {
        RememberedAnswer::Reconcile(Ok(response)) => response_bytes(response),
        RememberedAnswer::Related(Ok(queries)) => queries.iter().map(query_bytes).sum(),
        RememberedAnswer::Reconcile(Err(failure)) | RememberedAnswer::Related(Err(failure)) => {
            match failure {
                Failure::Permanent { message, status }
                | Failure::Temporary {
                    message, status, ..
                } => message.len() + status.bytes(),
                Failure::Fault(_) => 0,
            }
        }
    };
    let bytes = ENTRY_BYTES + size_of::<RememberedAnswer>() + texts;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn query_bytes(query: &Query) -> usize {
    let selection = match &query.selection {
        Selection::Name(name) => name.len(),
        Selection::Labels(labels) => labels.memory(),
        Selection::All => 0,
    };
    size_of::<Query>() + query.kind.api_version.len() + query.kind.kind.len() + selection
}

fn kept_bytes(kept: &KeptChild) -> usize {
    let namespace = kept.namespace.as_ref().map_or(0, String::len);
    size_of::<KeptChild>() + kept.api_version.len() + kept.kind.len() + namespace + kept.name.len()
}

fn response_bytes(response: &Response) -> usize {
    let Response {
        children,
        kept,
        status,
        readiness,
        events,
        requeue: _,
    } = response;
    let text = |text: &String| size_of::<String>() + text.len();
    let waiting = match readiness {
        Readiness::Ready => 0,
        Readiness::Waiting(message) => message.len(),
    };
    let events = events
        .iter()
        .map(|event| 64 + event.reason.len() + event.message.len());
    children.iter().map(text).sum::<usize>()
        + kept.iter().map(kept_bytes).sum::<usize>()
        + status.bytes()
        + status.conditions.len() * size_of::<ParentCondition>()
        + waiting
        + events.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handler_host_core::{Fault, Kind, Place, Timestamp};
    use rstest::rstest;

    use super::*;

    const CALL: Call<'_> = Call {
        object: "ns/a",
        parent: r#"{"spec":1}"#,
        children: &[r#"{"kind":"A"}"#, r#"{"kind":"B"}"#],
        related: &[],
        config: "{}",
        now: None,
        room: usize::MAX,
    };

    fn wrap(memo: &Arc<Memo>, invoke: Arc<dyn Invoke>) -> Memoised {
        memo.wrap(invoke, CallLimits::default(), &Arc::default())
    }

    /// Counts its runs; answers with one child that holds the number.
    struct Counting {
        module: &'static [u8],
        failure: Option<Failure>,
        runs: AtomicU64,
    }

    impl Counting {
        fn new(module: &'static [u8], failure: Option<Failure>) -> Arc<Self> {
            Arc::new(Self {
                module,
                failure,
                runs: AtomicU64::new(0),
            })
        }

        fn runs(&self) -> u64 {
            self.runs.load(Ordering::SeqCst)
        }
    }

    impl Invoke for Counting {
        fn digest(&self) -> Digest {
            Digest::of(self.module)
        }

        fn invoke_measured(&self, _call: &Call<'_>) -> (Result<Response, Failure>, Effort) {
            let run = self.runs.fetch_add(1, Ordering::SeqCst);
            let answer = match &self.failure {
                Some(failure) => Err(failure.clone()),
                None => Ok(Response {
                    children: vec![run.to_string()],
                    ..Response::default()
                }),
            };
            (answer, Effort::Nothing)
        }

        fn related_measured(
            &self,
            _call: &RelatedCall<'_>,
        ) -> (Result<Vec<Query>, Failure>, Effort) {
            self.runs.fetch_add(1, Ordering::SeqCst);
            let query = Query {
                kind: Kind::new("v1", "Secret").unwrap(),
                place: Place::ParentNamespace,
                selection: Selection::All,
            };
            (Ok(vec![query]), Effort::Nothing)
        }
    }

    #[rstest]
    #[case::the_same_input(CALL, 1)]
    #[case::another_config(Call { config: r#"{"a":1}"#, ..CALL }, 2)]
    #[case::another_object(Call { object: "ns/b", ..CALL }, 2)]
    #[case::another_parent(Call { parent: r#"{"spec":2}"#, ..CALL }, 2)]
    #[case::another_child(Call { children: &[r#"{"kind":"A"}"#, r#"{"kind":"C"}"#], ..CALL }, 2)]
    #[case::a_child_less(Call { children: &[r#"{"kind":"A"}"#], ..CALL }, 2)]
    #[case::children_in_another_order(Call { children: &[r#"{"kind":"B"}"#, r#"{"kind":"A"}"#], ..CALL }, 2)]
    #[case::the_same_bytes_cut_elsewhere(Call { children: &[r#"{"kind":"A"}{"kind":"B"}"#], ..CALL }, 2)]
    #[case::a_related_object(Call { related: &[vec!["{}"]], ..CALL }, 2)]
    #[case::another_time(Call { now: Some(Timestamp(1000)), ..CALL }, 2)]
    fn only_the_same_input_is_answered_from_memory(#[case] second: Call<'_>, #[case] runs: u64) {
        let guest = Counting::new(b"module", None);
        let handler = wrap(&Memo::new(1 << 20), Arc::clone(&guest) as Arc<dyn Invoke>);
        let first = handler.invoke(&CALL);
        let again = handler.invoke(&second);
        assert_eq!(guest.runs(), runs);
        assert_eq!(first == again, runs == 1);
        let counts = MemoCounts {
            calls: 2,
            hits: 2 - runs,
        };
        assert_eq!(handler.tally.counts(), counts);
    }

    #[rstest]
    #[case::a_permanent_failure(Failure::permanent("no"), 1)]
    #[case::a_temporary_failure(Failure::temporary("not yet"), 1)]
    #[case::a_trap(Failure::Fault(Fault::Trap("unreachable".into())), 2)]
    #[case::a_deadline(Failure::Fault(Fault::Deadline(Duration::from_secs(1))), 2)]
    #[case::a_memory_limit(Failure::Fault(Fault::Memory(1 << 20)), 2)]
    fn what_the_guest_says_is_kept_and_what_stopped_it_is_not(
        #[case] failure: Failure,
        #[case] runs: u64,
    ) {
        let guest = Counting::new(b"module", Some(failure.clone()));
        let handler = wrap(&Memo::new(1 << 20), Arc::clone(&guest) as Arc<dyn Invoke>);
        for _ in 0..2 {
            assert_eq!(handler.invoke(&CALL), Err(failure.clone()));
        }
        assert_eq!(guest.runs(), runs);
    }

    #[test]
    fn queries_are_remembered_apart_from_responses() {
        let guest = Counting::new(b"module", None);
        let handler = wrap(&Memo::new(1 << 20), Arc::clone(&guest) as Arc<dyn Invoke>);
        let call = RelatedCall {
            object: CALL.object,
            parent: CALL.parent,
            config: CALL.config,
        };
        let bare = Call {
            children: &[],
            ..CALL
        };
        handler.invoke(&bare).unwrap();
        let (first, _) = handler.related_measured(&call);
        let (again, effort) = handler.related_measured(&call);
        assert_eq!((first, effort), (again, Effort::Remembered));
        assert_eq!(guest.runs(), 2);
    }

    #[test]
    fn modules_have_answers_of_their_own_and_handlers_of_one_module_share_them() {
        let memo = Memo::new(1 << 20);
        let guests = [b"one".as_slice(), b"two", b"one"].map(|module| Counting::new(module, None));
        let handlers = guests
            .clone()
            .map(|guest| wrap(&memo, guest as Arc<dyn Invoke>));
        for handler in &handlers {
            handler.invoke(&CALL).unwrap();
        }
        assert_eq!(guests.map(|guest| guest.runs()), [1, 1, 0]);
        let hits = handlers.map(|handler| handler.tally.counts().hits);
        assert_eq!(hits, [0, 0, 1]);
    }

    #[test]
    fn with_more_memory_a_guest_may_answer_otherwise() {
        let memo = Memo::new(1 << 20);
        let guest = Counting::new(b"module", None);
        for memory in [1 << 20, 2 << 20, 2 << 20] {
            let limits = CallLimits {
                memory,
                ..CallLimits::default()
            };
            let handler = memo.wrap(
                Arc::clone(&guest) as Arc<dyn Invoke>,
                limits,
                &Arc::default(),
            );
            handler.invoke(&CALL).unwrap();
        }
        assert_eq!(guest.runs(), 2);
    }

    #[test]
    fn a_memo_of_nothing_remembers_nothing() {
        let guest = Counting::new(b"module", None);
        let handler = wrap(&Memo::new(0), Arc::clone(&guest) as Arc<dyn Invoke>);
        handler.invoke(&CALL).unwrap();
        handler.invoke(&CALL).unwrap();
        assert_eq!(guest.runs(), 2);
        assert_eq!(handler.tally.counts(), MemoCounts { calls: 2, hits: 0 });
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        const BYTES: u64 = 64 << 10;
        let memo = Memo::new(BYTES);
        let handler = wrap(&memo, Counting::new(b"module", None));
        for number in 0..1000 {
            let object = format!("ns/{number}");
            let call = Call {
                object: &object,
                ..CALL
            };
            handler.invoke(&call).unwrap();
        }
        let answers = memo.answers.as_ref().unwrap();
        answers.run_pending_tasks();
        assert!(
            answers.weighted_size() <= BYTES,
            "{}",
            answers.weighted_size()
        );
        assert!(answers.entry_count() > 50, "{}", answers.entry_count());
    }

    #[test]
    fn an_answer_weighs_what_it_holds() {
        let light = Response {
            children: vec!["x".repeat(10)],
            ..Response::default()
        };
        let heavy = Response {
            children: vec!["x".repeat(10_010)],
            ..light.clone()
        };
        let weight = |answer| weight(&RememberedAnswer::Reconcile(Ok(answer)));
        assert_eq!(weight(heavy), weight(light) + 10_000);
    }
}
