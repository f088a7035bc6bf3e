use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use handler_host_core::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{ResourceLimiter, Result};
use wasmtime_wasi::clocks::HostWallClock;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::console::{Channel, Console};
use crate::limits::{CORE_INSTANCES, HANDLES, MEMORIES, RANDOM_BYTES, TABLE_ELEMENTS, TABLES};
use crate::room::Room;

/// 2000-01-01T00:00:00Z, as the time since 1970.
const FIXED_TIME: Duration = Duration::from_secs(946_684_800);

/// Everything that one call can reach: WASI with nothing granted, the console, and its limits.
pub(crate) struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) console: Console,
    pub(crate) memory: MemoryLimit,
    monotonic: MonotonicClock,
}

/// What the clocks of a call show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// The time of day; None for a fixed one.
    pub(crate) wall: Option<Timestamp>,
    pub(crate) monotonic: MonotonicClock,
}

/// What a monotonic clock shows. Real time does not pass for a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MonotonicClock {
    /// Always zero.
    Stopped,
    /// This many nanoseconds; each reading and each wait advances it.
    Advancing(u64),
}

/// What an advancing clock shows first, in nanoseconds. Some runtimes take zero for no time at all.
const START: u64 = 1_000_000_000;
/// By how much each reading advances it.
const STEP: u64 = 1_000_000;

impl MonotonicClock {
    pub(crate) const fn from_start() -> Self {
        Self::Advancing(START)
    }

    fn read(&mut self) -> u64 {
        match self {
            Self::Stopped => 0,
            Self::Advancing(now) => {
                let shown = *now;
                *now = now.saturating_add(STEP);
                shown
            }
        }
    }

    /// A wait that ends at this time is over.
    fn wait_until(&mut self, then: u64) {
        match self {
            Self::Stopped => {}
            Self::Advancing(now) => *now = then.max(*now),
        }
    }

    /// A wait of this length is over.
    fn wait_for(&mut self, duration: u64) {
        match self {
            Self::Stopped => {}
            Self::Advancing(now) => *now = now.saturating_add(duration),
        }
    }
}

impl Sandbox {
    /// The seed decides the random numbers that the guest gets.
    pub(crate) fn new(
        console: Console,
        memory: usize,
        room: Room,
        clocks: Clocks,
        seed: &[&[u8]],
    ) -> Self {
        let mut hasher = Sha256::new();
        for part in seed {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hasher.update(part.len().to_le_bytes());
            hasher.update(part);
        }
        let seed: [u8; 32] = hasher.finalize().into();
        let half = seed.first_chunk().copied().unwrap_or_default();
        let wasi = WasiCtx::builder()
            .stdout(console.stream(Channel::Output))
            .stderr(console.stream(Channel::Error))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .wall_clock(StoppedClock::at(clocks.wall))
            .secure_random(ChaCha12Rng::from_seed(seed))
            .insecure_random(ChaCha12Rng::from_seed(seed))
            .insecure_random_seed(u128::from_le_bytes(half))
            .max_random_size(RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            wasi,
            table,
            console,
            memory: MemoryLimit {
                limit: memory,
                used: Arc::default(),
                is_exceeded: false,
                lacks_room: Arc::default(),
                room,
            },
            monotonic: clocks.monotonic,
        }
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// What an element of a table takes.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Bounds all memories and tables of one call together.
pub(crate) struct MemoryLimit {
    limit: usize,
    room: Room,
    /// Their bytes now. Memories never shrink, so this is also the most they had.
    pub(crate) used: Arc<AtomicUsize>,
    /// Whether growth was refused. The failure that follows, most likely a trap, is then reported as this.
    pub(crate) is_exceeded: bool,
    /// Whether growth within the limit was refused, for want of memory.
    pub(crate) lacks_room: Arc<AtomicBool>,
}

impl MemoryLimit {
    /// Whether a memory or table may grow from so many bytes to so many.
    fn grow(&mut self, current: usize, desired: usize) -> Result<bool> {
        let used = self.used.load(Ordering::Relaxed);
        let used = used.saturating_sub(current).saturating_add(desired);
        if used > self.limit {
            self.is_exceeded = true;
            return Ok(false);
        }
        if !self.room.grow(used) {
            self.lacks_room.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        self.grow(current, desired)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(ELEMENT_BYTES);
        self.grow(bytes(current), bytes(desired))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

/// A wall clock that shows one time, as the time since 1970.
struct StoppedClock(Duration);

impl StoppedClock {
    fn at(time: Option<Timestamp>) -> Self {
        Self(time.map_or(FIXED_TIME, |time| Duration::from_millis(time.0)))
    }
}

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// Time does not pass for a guest. wasmtime's own implementation of a wait sleeps inside the host, where no
/// deadline interrupts it; here every wait ends at once.
impl monotonic_clock::Host for Sandbox {
    fn now(&mut self) -> Result<u64> {
        Ok(self.monotonic.read())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.monotonic.wait_until(when);
        let ready = self.table.push(AlwaysReady)?;
        subscribe(&mut self.table, ready)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        self.monotonic.wait_for(duration);
        self.subscribe_instant(0)
    }
}

struct AlwaysReady;

#[wasmtime_wasi::async_trait]
impl Pollable for AlwaysReady {
    async fn ready(&mut self) {}
}
