use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use handler_host_core::Digest;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::component::{Component, Gates};
use crate::error::ModuleError;
use crate::gate::Gate;
use crate::limits::{CORE_INSTANCES, MEMORIES, MODULE_TABLES, TABLE_ELEMENTS, TABLES, TICK};
use crate::module;
use crate::room::{CallMemory, MemoryBudget};
use crate::turns::Turns;
use crate::world::Linkers;

/// The largest memory that any call can have, whatever its own limit says. This is address space, not memory.
const MEMORY_CEILING: usize = 1 << 30;
/// Calls of `describe` at a time, beside all other calls.
const DESCRIBING: u32 = 2;

/// The engine and its linkers, made once for the life of the program.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    linkers: Linkers,
    gates: Gates,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The processor or the kernel lacks a feature that the engine needs.
    #[error("WebAssembly cannot be run on this machine ({0})")]
    Unsupported(wasmtime::Error),
    /// The thread for the deadlines did not start.
    #[error("the thread that keeps the deadlines did not start ({0})")]
    Thread(#[from] std::io::Error),
}

impl Runtime {
    /// An engine for at most `concurrency` calls at a time. One handler may have a quarter of them, or as many as there are
    /// processors if that is more. Further calls wait, and their deadlines begin when the wait is over.
    /// All calls together have what the budget of `memory` leaves; None sets no bound.
    ///
    /// # Errors
    ///
    /// When this machine cannot run it.
    pub fn new(concurrency: u32, memory: Option<MemoryBudget>) -> Result<Self, RuntimeError> {
        let engine =
            Engine::new(&config(concurrency + DESCRIBING)).map_err(RuntimeError::Unsupported)?;
        let linkers = Linkers::new(&engine).map_err(RuntimeError::Unsupported)?;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let weak = engine.weak();
        thread::Builder::new()
            .name("deadlines".to_owned())
            .spawn(move || {
                let mut due = Instant::now();
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    // Ticks have fixed times, so that one late tick does not delay all later ones.
                    due += TICK;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            })?;
        Ok(Self {
            engine,
            linkers,
            gates: Gates {
                memory: CallMemory::new(memory),
                calls: Arc::new(Gate::new(concurrency)),
                turns: Arc::new(Turns::new(processors)?),
                share: share(concurrency, processors),
                describe: Arc::new(Gate::new(DESCRIBING)),
            },
        })
    }

    /// The most memory that one call can have now, whatever its own limit says, in bytes.
    #[must_use]
    pub fn most_memory(&self) -> usize {
        self.gates.memory.most()
    }

    /// Checks, compiles and links a module.
    ///
    /// # Errors
    ///
    /// When the bytes are not a component of a world that this host serves.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, ModuleError> {
        module::check_header(bytes)?;
        let component = wasmtime::component::Component::new(&self.engine, bytes)
            .map_err(|error| ModuleError::of_engine(&error))?;
        self.link(&component, bytes)
    }

    /// The file name for the compiled code of a module. It holds the module's digest, and a hash of everything
    /// that the compiled code depends on: the version of the engine and its configuration.
    #[must_use]
    pub fn code_name(&self, digest: Digest) -> String {
        let mut hasher = DefaultHasher::new();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        let digest = digest.to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        format!("{hex}-{:016x}.cwasm", hasher.finish())
    }

    /// Links a module whose [code](Component::code) was kept in a file. The file is mapped into memory, not read.
    ///
    /// # Errors
    ///
    /// When an engine of another version or configuration wrote the file, or none did.
    ///
    /// # Safety
    ///
    /// The file must hold what [`Component::code`] returned for these bytes, and must not change afterwards: its
    /// content is executed unchecked.
    #[allow(
        unsafe_code,
        reason = "the only place where compiled code is loaded without compiling it"
    )]
    pub unsafe fn load_code(&self, file: &Path, bytes: &[u8]) -> Result<Component, ModuleError> {
        // SAFETY: our caller promises what this function asks for.
        let component =
            unsafe { wasmtime::component::Component::deserialize_file(&self.engine, file) };
        let component = component.map_err(|error| ModuleError::of_engine(&error))?;
        self.link(&component, bytes)
    }

    fn link(
        &self,
        component: &wasmtime::component::Component,
        bytes: &[u8],
    ) -> Result<Component, ModuleError> {
        let linked = self.linkers.link(component)?;
        Ok(Component::new(linked, self.gates.clone(), bytes))
    }
}

/// Compiles a module to code for [`Runtime::load_code`], in a process that runs none.
///
/// # Errors
///
/// When the bytes are not a component, or one that no runtime takes.
pub fn compile(bytes: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    let engine = Engine::new(&config).map_err(|error| ModuleError::of_engine(&error))?;
    let code = engine.precompile_component(bytes);
    code.map_err(|error| ModuleError::of_engine(&error))
}

/// How many calls of one handler are begun at a time. More than there are processors are of use only because some calls are
/// longer than others.
fn share(concurrency: u32, processors: usize) -> u32 {
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    concurrency.div_ceil(4).max(processors).min(concurrency)
}

fn config(concurrency: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_stacks(concurrency)
        .total_component_instances(concurrency)
        .total_core_instances(concurrency * CORE_INSTANCES)
        .total_memories(concurrency * MEMORIES)
        .total_tables(concurrency * TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(MODULE_TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY_CEILING);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What compiled code depends on.
fn code_config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // The same input must give the same bytes out, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // A trap is reported by its kind and the guest's last output. The frames of a stripped guest say nothing.
        .wasm_backtrace_max_frames(None);
    config
}
