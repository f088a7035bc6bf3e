//! Who computes next. Calls of guests share the processors by time, whichever handler they belong to: a handler whose
//! calls take long gets no more than its share, and short calls do not wait for long ones.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Turns at the processors of this machine. A call computes for a slice, which ends when its future yields.
///
/// Its first slice is computed by the caller's own thread, which waits until it is its turn. Whoever has computed least is
/// next. A call that is not done after its first slice is long: threads of their own compute the rest of it, and leave one
/// processor to all else.
pub(crate) struct Turns {
    first: Mutex<FirstSlices>,
    long: Arc<LongCalls>,
}

/// How long a handler's calls have computed in all.
#[derive(Default)]
pub(crate) struct Usage(Mutex<Duration>);

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It computed longer than it may.
    Deadline,
    /// It panicked.
    Panicked,
}

struct FirstSlices {
    /// The processors that nobody uses.
    free: usize,
    callers: Order<Arc<Condvar>>,
}

/// What waits for a turn, ordered by how long its handler has computed.
struct Order<T> {
    waiting: BTreeMap<(Duration, u64), T>,
    /// How long the handler had computed that had the last turn. Nobody gets turns for the time before that.
    last: Duration,
    count: u64,
}

struct LongCalls {
    queue: Mutex<Order<LongCall>>,
    news: Condvar,
}

struct LongCall {
    slices: Pin<Box<dyn Slices>>,
    usage: Arc<Usage>,
}

/// A call that computes in slices.
trait Slices: Send {
    /// Computes one slice. Gives whether the call has ended, and how long the slice took.
    fn compute(self: Pin<&mut Self>) -> (bool, Duration);
}

impl Usage {
    fn so_far(&self) -> Duration {
        *self.0.lock()
    }

    /// Adds a slice to what the handler has used since `start`, its place in the order.
    fn add(&self, start: Duration, slice: Duration) {
        let mut used = self.0.lock();
        *used = (*used).max(start) + slice;
    }
}

impl<T> Order<T> {
    fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            last: Duration::ZERO,
            count: 0,
        }
    }

    /// How much a handler has used, for the order. One that did not compute for long has no claim to all of the time since
    /// then.
    fn start(&self, usage: &Usage) -> Duration {
        usage.so_far().max(self.last)
    }

    fn add(&mut self, usage: &Usage, item: T) -> (Duration, u64) {
        self.count += 1;
        let place = (self.start(usage), self.count);
        self.waiting.insert(place, item);
        place
    }

    fn next(&mut self) -> Option<(Duration, T)> {
        let ((start, _), item) = self.waiting.pop_first()?;
        self.last = start;
        Some((start, item))
    }
}

impl Turns {
    /// Turns at so many processors.
    pub(crate) fn new(processors: usize) -> std::io::Result<Self> {
        let long = Arc::new(LongCalls {
            queue: Mutex::new(Order::new()),
            news: Condvar::new(),
        });
        for _ in 0..processors.saturating_sub(1).max(1) {
            let long = Arc::downgrade(&long);
            thread::Builder::new()
                .name("long-calls".to_owned())
                .spawn(move || compute_long_calls(&long))?;
        }
        Ok(Self {
            first: Mutex::new(FirstSlices {
                free: processors,
                callers: Order::new(),
            }),
            long,
        })
    }

    /// Computes a future that yields after each slice, and waits for its result. It may compute for as long as `most`;
    /// the time of waiting does not count. Gives how long it computed, too.
    pub(crate) fn compute<T: Send + 'static>(
        &self,
        usage: &Arc<Usage>,
        most: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> (Result<T, Stopped>, Duration) {
        let (tell, told) = mpsc::sync_channel(1);
        let mut slices: Pin<Box<dyn Slices>> = Box::pin(SlicedCall {
            future: Box::pin(future),
            most,
            computed: Duration::ZERO,
            tell,
        });
        let start = self.wait_for_turn(usage);
        let (has_ended, slice) = slices.as_mut().compute();
        self.leave(usage, start, slice);
        if !has_ended {
            let usage = Arc::clone(usage);
            self.add_long(LongCall { slices, usage });
        }
        // The call tells how it ended; if not, its thread has ended with it.
        let ended = told.recv();
        ended.unwrap_or((Err(Stopped::Panicked), slice))
    }

    /// Does work among the long calls, in one slice, and waits for its end.
    pub(crate) fn work(&self, usage: &Arc<Usage>, work: Box<dyn FnOnce() + Send>) {
        let (tell, told) = mpsc::sync_channel(1);
        let future = async move { work() };
        let slices = Box::pin(SlicedCall {
            future: Box::pin(future),
            most: Duration::MAX,
            computed: Duration::ZERO,
            tell,
        });
        self.add_long(LongCall {
            slices,
            usage: Arc::clone(usage),
        });
        // Whoever gave the work notices that it was not done.
        let _ = told.recv();
    }

    fn add_long(&self, call: LongCall) {
        let usage = Arc::clone(&call.usage);
        self.long.queue.lock().add(&usage, call);
        self.long.news.notify_one();
    }

    fn wait_for_turn(&self, usage: &Usage) -> Duration {
        let mut first = self.first.lock();
        if first.free > 0 {
            first.free -= 1;
            return first.callers.start(usage);
        }
        let turn = Arc::new(Condvar::new());
        let place = first.callers.add(usage, Arc::clone(&turn));
        // Whoever leaves takes out of the queue whose turn it is.
        turn.wait_while(&mut first, |first| {
            first.callers.waiting.contains_key(&place)
        });
        place.0
    }

    fn leave(&self, usage: &Usage, start: Duration, slice: Duration) {
        usage.add(start, slice);
        let mut first = self.first.lock();
        match first.callers.next() {
            Some((_, turn)) => {
                turn.notify_one();
            }
            None => first.free += 1,
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // The threads look whether anybody is left.
        self.long.news.notify_all();
    }
}

/// Computes long calls in turn, a slice each, until the turns are dropped.
fn compute_long_calls(long: &std::sync::Weak<LongCalls>) {
    while let Some(long) = long.upgrade() {
        let next = {
            let mut queue = long.queue.lock();
            if queue.waiting.is_empty() {
                // After a second it is looked whether the turns are still used.
                long.news.wait_for(&mut queue, Duration::from_secs(1));
            }
            queue.next()
        };
        let Some((start, mut call)) = next else {
            continue;
        };
        let (has_ended, slice) = call.slices.as_mut().compute();
        call.usage.add(start, slice);
        if !has_ended {
            let usage = Arc::clone(&call.usage);
            long.queue.lock().add(&usage, call);
        }
    }
}

struct SlicedCall<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    most: Duration,
    computed: Duration,
    tell: mpsc::SyncSender<(Result<T, Stopped>, Duration)>,
}

impl<T: Send> Slices for SlicedCall<T> {
    fn compute(self: Pin<&mut Self>) -> (bool, Duration) {
        let call = self.get_mut();
        let mut context = Context::from_waker(Waker::noop());
        let began = Instant::now();
        let polled = catch_unwind(AssertUnwindSafe(|| call.future.as_mut().poll(&mut context)));
        let slice = began.elapsed();
        call.computed += slice;
        let ended = match polled {
            Ok(Poll::Ready(result)) => Ok(result),
            Ok(Poll::Pending) if call.computed < call.most => return (false, slice),
            Ok(Poll::Pending) => Err(Stopped::Deadline),
            Err(_) => Err(Stopped::Panicked),
        };
        // Nobody may wait for it any more.
        let _ = call.tell.send((ended, call.computed));
        (true, slice)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Yields until it is told to stop, after slices of a millisecond.
    fn spin(is_over: Arc<AtomicBool>) -> impl Future<Output = u32> + Send + 'static {
        let mut slices = 0;
        std::future::poll_fn(move |_| {
            if is_over.load(Ordering::SeqCst) {
                return Poll::Ready(slices);
            }
            slices += 1;
            thread::sleep(Duration::from_millis(1));
            Poll::Pending
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_has_its_result() {
        let turns = Turns::new(1).unwrap();
        let (result, _) = turns.compute(&Arc::default(), LONG, async { 1 });
        assert_eq!(result, Ok(1));
    }

    #[test]
    fn a_call_that_never_ends_is_stopped_after_its_time() {
        let turns = Turns::new(1).unwrap();
        let most = Duration::from_millis(50);
        let (result, computed) = turns.compute(&Arc::default(), most, spin(Arc::default()));
        assert_eq!(result, Err(Stopped::Deadline));
        assert!(computed >= most, "{computed:?}");
    }

    #[test]
    fn a_call_that_panics_leaves_its_turn() {
        let turns = Turns::new(1).unwrap();
        let (result, _) = turns.compute(&Arc::default(), LONG, async { panic!("inside") });
        assert_eq!(result, Err::<(), _>(Stopped::Panicked));
        let (result, _) = turns.compute(&Arc::default(), LONG, async { 1 });
        assert_eq!(result, Ok(1));
    }

    #[test]
    fn short_calls_do_not_wait_for_long_ones() {
        let turns = Turns::new(1).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..4 {
                let future = spin(Arc::clone(&is_over));
                scope.spawn(|| turns.compute(&Arc::default(), LONG, future));
            }
            for _ in 0..100 {
                let (result, _) = turns.compute(&Arc::default(), LONG, async { 1 });
                assert_eq!(result, Ok(1));
            }
            is_over.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn long_calls_of_two_handlers_compute_equally_long_however_many_they_are() {
        let turns = Turns::new(1).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (one, other) = (Arc::new(Usage::default()), Arc::new(Usage::default()));
        let slices = thread::scope(|scope| {
            let spinning = [&one, &other, &other, &other].map(|usage| {
                let future = spin(Arc::clone(&is_over));
                let turns = &turns;
                scope.spawn(move || turns.compute(usage, LONG, future).0.unwrap())
            });
            while one.so_far() + other.so_far() < Duration::from_millis(400) {
                thread::yield_now();
            }
            is_over.store(true, Ordering::SeqCst);
            spinning.map(|call| call.join().unwrap())
        });
        let [one, others @ ..] = slices;
        let others: u32 = others.iter().sum();
        assert!(one * 2 > others && others * 2 > one, "{one} and {others}");
    }
}
