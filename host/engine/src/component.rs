use std::sync::Arc;
use std::time::Instant;

use handler_host_core::{
    Call, CallLimits, Description, Digest, Effort, Failure, Fault, Invoke, Response,
};
use wasmtime::component::ResourceTableError;
use wasmtime::{Error, Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::console::Console;
use crate::gate::Gate;
use crate::limits::{HANDLES, TICK};
use crate::module::DescribeError;
use crate::sandbox::Sandbox;
use crate::v0_1::{self, HandlerPre};

/// A module, checked, compiled and linked.
#[derive(Clone)]
pub struct Component {
    pre: HandlerPre<Sandbox>,
    gates: Gates,
    digest: Digest,
    size: usize,
    imports: Arc<[String]>,
}

/// Who may have how many instances at a time.
#[derive(Clone)]
pub(crate) struct Gates {
    /// All calls of all handlers together.
    pub(crate) calls: Arc<Gate>,
    /// Of these, the calls of one handler: one that uses its whole deadline leaves places to the others.
    pub(crate) share: u32,
    /// Modules that say what they are, which no call of a handler holds up.
    pub(crate) describe: Arc<Gate>,
}

impl Component {
    pub(crate) fn new(
        pre: HandlerPre<Sandbox>,
        gates: Gates,
        digest: Digest,
        size: usize,
        imports: Vec<String>,
    ) -> Self {
        Self {
            pre,
            gates,
            digest,
            size,
            imports: imports.into(),
        }
    }

    /// Its compiled code, for [`Runtime::load_code`](crate::Runtime::load_code); None if it cannot be told.
    #[must_use]
    pub fn code(&self) -> Option<Vec<u8>> {
        self.pre.instance_pre().component().serialize().ok()
    }

    /// The digest of the module's bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
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

    /// Asks the module what it is, for a config in JSON.
    ///
    /// # Errors
    ///
    /// When it refuses the config, is stopped or describes what cannot exist.
    pub fn describe(&self, config: &str, limits: CallLimits) -> Result<Description, DescribeError> {
        let console = Console::new(&self.digest.short(), "describe");
        let seed = [self.digest.as_bytes().as_slice(), config.as_bytes()];
        let _place = self.gates.describe.enter();
        let (answer, _) = self.run(&console, limits, &seed, |handler, store| {
            v0_1::describe(handler, store, config)
        });
        answer?
    }

    /// The handler that this module becomes under a name and limits.
    #[must_use]
    pub fn into_handler(self, name: &str, limits: CallLimits) -> Handler {
        Handler {
            share: Gate::new(self.gates.share),
            component: self,
            name: name.to_owned(),
            limits,
        }
    }

    /// Whoever runs it has a place in the pool, taken before: the deadline is the guest's time, not that of
    /// waiting. And it leaves the place after the store is gone, which holds the place's memory.
    fn run<T>(
        &self,
        console: &Console,
        limits: CallLimits,
        seed: &[&[u8]],
        call: impl FnOnce(&v0_1::Handler, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> (Result<T, Fault>, Effort) {
        let started = Instant::now();
        let sandbox = Sandbox::new(console.clone(), limits.memory, seed);
        let mut store = Store::new(self.pre.engine(), sandbox);
        store.limiter(|sandbox| &mut sandbox.memory);
        // Counting starts within a tick, so one more is needed to give the guest all its time.
        let ticks = limits.deadline.as_millis().div_ceil(TICK.as_millis()) + 1;
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX >> 1));
        store.epoch_deadline_trap();
        // What a guest hands over is copied into the host, where no limit of its memory counts.
        store.set_hostcall_fuel(limits.memory);
        let outcome = self
            .pre
            .instantiate(&mut store)
            .and_then(|handler| call(&handler, &mut store));
        let outcome = outcome.map_err(|error| fault_of(&error, &store, limits));
        console.flush();
        let effort = Effort::Ran {
            took: started.elapsed(),
            memory: store.data().memory.used,
        };
        (outcome, effort)
    }
}

fn fault_of(error: &Error, store: &Store<Sandbox>, limits: CallLimits) -> Fault {
    let sandbox = store.data();
    let trap = error.downcast_ref::<Trap>();
    if matches!(trap, Some(Trap::Interrupt)) {
        return Fault::Deadline(limits.deadline);
    }
    if sandbox.memory.is_exceeded {
        return Fault::Memory(limits.memory);
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

/// A component under a name and limits, ready to be called from any number of threads.
pub struct Handler {
    component: Component,
    share: Gate,
    name: String,
    limits: CallLimits,
}

impl Invoke for Handler {
    fn digest(&self) -> Digest {
        self.component.digest
    }

    fn invoke_measured(&self, call: &Call<'_>) -> (Result<Response, Failure>, Effort) {
        let console = Console::new(&self.name, call.object);
        // Not the whole input: chance must not change with a resource version or a status, or the children
        // of a guest that uses it would be written anew at every pass.
        let seed = [
            self.component.digest.as_bytes().as_slice(),
            call.config.as_bytes(),
            call.object.as_bytes(),
        ];
        let _share = self.share.enter();
        let _place = self.component.gates.calls.enter();
        let (answer, effort) =
            self.component
                .run(&console, self.limits, &seed, |handler, store| {
                    v0_1::reconcile(handler, store, call)
                });
        (answer.map_err(Failure::Fault).flatten(), effort)
    }
}
