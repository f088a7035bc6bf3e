use std::sync::Arc;
use std::sync::atomic::Ordering;

use handler_host_core::{
    Call, CallLimits, Description, Digest, Effort, Failure, Fault, Invoke, Query, RelatedCall,
    Response, Timestamp,
};
use wasmtime::component::ResourceTableError;
use wasmtime::{Error, Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::console::Console;
use crate::error::DescribeError;
use crate::gate::Gate;
use crate::limits::HANDLES;
use crate::module::suggested_name;
use crate::room::{CallMemory, Room};
use crate::sandbox::{Clocks, Sandbox};
use crate::turns::{Stopped, Turns, Usage};
use crate::world::{Input, Linked, World};

/// The bytes that the queries of one parent may take. They are kept for each parent.
const QUERY_BYTES: usize = 64 << 10;

/// A module that was checked, compiled and linked.
#[derive(Clone)]
pub struct Component {
    linked: Linked,
    gates: Gates,
    digest: Digest,
    size: usize,
    imports: Arc<[String]>,
    suggested_name: Option<Arc<str>>,
}

/// How many instances there may be at a time, and for which calls.
#[derive(Clone)]
pub(crate) struct Gates {
    /// The calls of all handlers together.
    pub(crate) calls: Arc<Gate>,
    /// How many of these one handler may have. So a handler whose calls use their whole deadline leaves
    /// places to the others.
    pub(crate) share: u32,
    /// The memory of all calls.
    pub(crate) memory: Arc<CallMemory>,
    /// Who of them computes.
    pub(crate) turns: Arc<Turns>,
    /// The calls of `describe`. They have places of their own, so that calls of handlers do not delay them.
    pub(crate) describe: Arc<Gate>,
}

impl Component {
    pub(crate) fn new(linked: Linked, gates: Gates, bytes: &[u8]) -> Self {
        let component = linked.component();
        let type_ = component.component_type();
        let imports = type_.imports(component.engine());
        Self {
            imports: imports.map(|(name, _)| name.to_owned()).collect(),
            digest: Digest::of(bytes),
            size: bytes.len(),
            suggested_name: suggested_name(bytes).map(Into::into),
            linked,
            gates,
        }
    }

    /// Its compiled code, for [`Runtime::load_code`](crate::Runtime::load_code). It is None if the code cannot
    /// be serialised.
    #[must_use]
    pub fn code(&self) -> Option<Vec<u8>> {
        self.linked.component().serialize().ok()
    }

    /// The version of the world that it was built for.
    #[must_use]
    pub fn world(&self) -> World {
        self.linked.world()
    }

    /// The digest of the module's bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The name that the module suggests for its handler.
    #[must_use]
    pub fn suggested_name(&self) -> Option<&str> {
        self.suggested_name.as_deref()
    }

    /// The module's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The interfaces it imports, each with its version.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Calls `describe` of the module with a config in JSON.
    ///
    /// # Errors
    ///
    /// When the module refuses the config, is stopped, or describes a kind that cannot exist.
    pub fn describe(&self, config: &str, limits: CallLimits) -> Result<Description, DescribeError> {
        let console = Console::new(&self.digest.short(), "describe");
        let seed = [self.digest.as_bytes().as_slice(), config.as_bytes()];
        let clocks = self.clocks(None);
        let sandbox = |room| Sandbox::new(console.clone(), limits.memory, room, clocks, &seed);
        let _place = self.gates.describe.enter();
        let (answer, _) = self.run(sandbox, limits, &Arc::default(), || {
            let (linked, config) = (self.linked.clone(), config.to_owned());
            |mut store| async move { (linked.describe(&mut store, &config).await, store) }
        });
        answer?
    }

    /// The clocks of a call that is told this time of day, or none.
    fn clocks(&self, now: Option<Timestamp>) -> Clocks {
        Clocks {
            wall: now,
            monotonic: self.world().monotonic_clock(),
        }
    }

    /// The handler that this module becomes under a name and limits.
    #[must_use]
    pub fn into_handler(self, name: &str, limits: CallLimits) -> ComponentHandler {
        ComponentHandler {
            share: Gate::new(self.gates.share),
            usage: Arc::default(),
            component: self,
            name: name.to_owned(),
            limits,
        }
    }

    /// Makes a call, and makes it again as a large one if it finds no memory.
    fn run<T: Send + 'static, F, C>(
        &self,
        sandbox: impl Fn(Room) -> Sandbox,
        limits: CallLimits,
        usage: &Arc<Usage>,
        call: impl Fn() -> C,
    ) -> (Result<T, Fault>, Effort)
    where
        C: FnOnce(Store<Sandbox>) -> F + Send + 'static,
        F: Future<Output = (wasmtime::Result<T>, Store<Sandbox>)> + Send,
    {
        let memory = &self.gates.memory;
        match self.run_once(sandbox(memory.begin()), limits, usage, call()) {
            (Some(outcome), effort) => (outcome, effort),
            (None, _) => {
                let _turn = memory.wait_for_large();
                let room = memory.begin_large(limits.memory);
                let (outcome, effort) = self.run_once(sandbox(room), limits, usage, call());
                let outcome = outcome.unwrap_or(Err(Fault::HostMemory(memory.most())));
                (outcome, effort)
            }
        }
    }

    /// Makes one call in a store of its own. Its outcome is None if it found no memory, also where the guest went on
    /// without: then the outcome depends on other calls.
    ///
    /// The caller must hold a place in the pool. It takes the place before, because the deadline counts the
    /// guest's time and not the time of waiting. It gives the place back after this function returns, because
    /// the store, which is dropped before, occupies the memory of that place.
    fn run_once<T: Send + 'static, F>(
        &self,
        sandbox: Sandbox,
        limits: CallLimits,
        usage: &Arc<Usage>,
        call: impl FnOnce(Store<Sandbox>) -> F + Send + 'static,
    ) -> (Option<Result<T, Fault>>, Effort)
    where
        F: Future<Output = (wasmtime::Result<T>, Store<Sandbox>)> + Send,
    {
        let (console, memory) = (sandbox.console.clone(), sandbox.memory.used.clone());
        let lacks_room = sandbox.memory.lacks_room.clone();
        let engine = self.linked.component().engine().clone();
        let calling = async move {
            let mut store = Store::new(&engine, sandbox);
            store.limiter(|sandbox| &mut sandbox.memory);
            // It yields at each tick, so that others have their turn and its time is looked at.
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            // What a guest passes to the host is copied there, where the limit of the guest's memory does not apply.
            store.set_hostcall_fuel(limits.response);
            let (outcome, store) = call(store).await;
            outcome.map_err(|error| fault_of(&error, &store, limits))
        };
        let (ended, took) = self.gates.turns.compute(usage, limits.deadline, calling);
        console.flush();
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(Stopped::Deadline) => Err(Fault::Deadline(limits.deadline)),
            Err(Stopped::Panicked) => Err(Fault::Trap("the host failed in the call".to_owned())),
        };
        let memory = memory.load(Ordering::Relaxed);
        let outcome = (!lacks_room.load(Ordering::Relaxed)).then_some(outcome);
        (outcome, Effort::Ran { took, memory })
    }
}

fn fault_of(error: &Error, store: &Store<Sandbox>, limits: CallLimits) -> Fault {
    let sandbox = store.data();
    let trap = error.downcast_ref::<Trap>();
    if sandbox.memory.is_exceeded {
        return Fault::Memory(limits.memory);
    }
    // wasmtime has no public type for this error.
    if error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
    {
        return Fault::Response(limits.response);
    }
    let cause = if let Some(trap) = trap {
        trap.to_string()
    } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
        format!("it exited with code {}", exit.0)
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        format!("it held more than {HANDLES} handles")
    } else {
        error.root_cause().to_string()
    };
    sandbox
        .console
        .trap(cause.trim_start_matches("wasm trap: "))
}

/// A component under a name and limits. Any number of threads may call it.
pub struct ComponentHandler {
    component: Component,
    share: Gate,
    /// How long its calls have computed.
    usage: Arc<Usage>,
    name: String,
    limits: CallLimits,
}

impl Invoke for ComponentHandler {
    fn digest(&self) -> Digest {
        self.component.digest
    }

    fn work(&self, work: Box<dyn FnOnce() + Send>) {
        self.component.gates.turns.work(&self.usage, work);
    }

    fn invoke_measured(&self, call: &Call<'_>) -> (Result<Response, Failure>, Effort) {
        let caller = Caller {
            object: call.object,
            config: call.config,
            now: call.now,
            room: call.room,
        };
        self.call(&caller, || {
            let (linked, input) = (self.component.linked.clone(), Input::from(call));
            |mut store| async move { (linked.reconcile(&mut store, input).await, store) }
        })
    }

    fn related_measured(&self, call: &RelatedCall<'_>) -> (Result<Vec<Query>, Failure>, Effort) {
        let caller = Caller {
            object: call.object,
            config: call.config,
            now: None,
            room: QUERY_BYTES,
        };
        let (answer, effort) = self.call(&caller, || {
            let linked = self.component.linked.clone();
            let (parent, config) = (call.parent.to_owned(), call.config.to_owned());
            |mut store| async move { (linked.related(&mut store, &parent, &config).await, store) }
        });
        let answer = match answer {
            Err(Failure::Fault(Fault::Answer(limit))) => Err(Failure::Fault(Fault::Queries(limit))),
            answer => answer,
        };
        (answer, effort)
    }
}

/// What every call for a parent has.
struct Caller<'a> {
    object: &'a str,
    config: &'a str,
    now: Option<Timestamp>,
    /// The bytes of memory that there are for the answer.
    room: usize,
}

impl ComponentHandler {
    fn call<T: Send + 'static, F, C>(
        &self,
        caller: &Caller<'_>,
        call: impl Fn() -> C,
    ) -> (Result<T, Failure>, Effort)
    where
        C: FnOnce(Store<Sandbox>) -> F + Send + 'static,
        F: Future<Output = (wasmtime::Result<Result<T, Failure>>, Store<Sandbox>)> + Send,
    {
        let component = &self.component;
        let console = Console::new(&self.name, caller.object);
        // The whole input is not the seed: random numbers would change with each resource version and status,
        // and the children of a guest that uses them would be written at every pass.
        let seed = [
            component.digest.as_bytes().as_slice(),
            caller.config.as_bytes(),
            caller.object.as_bytes(),
        ];
        let (memory, clocks) = (self.limits.memory, component.clocks(caller.now));
        let sandbox = |room| Sandbox::new(console.clone(), memory, room, clocks, &seed);
        let _share = self.share.enter();
        let _place = component.gates.calls.enter();
        let limits = CallLimits {
            response: self.limits.response.min(caller.room),
            ..self.limits
        };
        let (answer, effort) = component.run(sandbox, limits, &self.usage, call);
        let answer = match answer {
            Err(Fault::Response(limit)) if limit < self.limits.response => {
                Err(Fault::Answer(limit))
            }
            answer => answer,
        };
        (answer.map_err(Failure::Fault).flatten(), effort)
    }
}
