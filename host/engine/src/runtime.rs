use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use handler_host_core::Digest;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::Component;
use crate::component::Gates;
use crate::gate::Gate;
use crate::limits::{TABLE_ELEMENTS, TICK};
use crate::module::{self, ModuleError};
use crate::sandbox::Sandbox;
use crate::v0_1;

/// What any one call may ever ask for, whatever its own limit; address space, not memory.
const MEMORY_CEILING: usize = 1 << 30;
/// A component of a usual toolchain is a handful of core modules: the program and its adapters.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 4;
const TABLES: u32 = 16;
/// Modules that say what they are at a time, beside all calls.
const DESCRIBING: u32 = 2;

/// The engine and its linker, made once for the life of the program.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    linker: Linker<Sandbox>,
    gates: Gates,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The processor or the kernel lacks something.
    #[error("WebAssembly cannot be run on this machine ({0})")]
    Unsupported(wasmtime::Error),
    /// No thread for the deadlines.
    #[error("the thread that keeps the deadlines did not start ({0})")]
    Thread(#[from] std::io::Error),
}

impl Runtime {
    /// An engine for at most `concurrency` calls at a time, three quarters of them of one handler; those beyond
    /// wait, and their deadlines begin when it is their turn.
    ///
    /// # Errors
    ///
    /// When the machine cannot run it.
    pub fn new(concurrency: u32) -> Result<Self, RuntimeError> {
        let engine =
            Engine::new(&config(concurrency + DESCRIBING)).map_err(RuntimeError::Unsupported)?;
        let linker = v0_1::linker(&engine).map_err(RuntimeError::Unsupported)?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("deadlines".to_owned())
            .spawn(move || {
                let mut due = Instant::now();
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    // Points in time, not pauses: a late tick must not make all that follow late.
                    due += TICK;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            })?;
        Ok(Self {
            engine,
            linker,
            gates: Gates {
                calls: Arc::new(Gate::new(concurrency)),
                share: concurrency - concurrency / 4,
                describe: Arc::new(Gate::new(DESCRIBING)),
            },
        })
    }

    /// Checks, compiles and links a module.
    ///
    /// # Errors
    ///
    /// When the bytes are no component of a world this host knows.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, ModuleError> {
        module::check_header(bytes)?;
        let component = wasmtime::component::Component::new(&self.engine, bytes)
            .map_err(|error| ModuleError::Broken(format!("{error:#}")))?;
        self.link(&component, bytes)
    }

    /// What names the compiled code of a module: its digest, and all that decides what code comes of it.
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

    /// Links a module whose [code](Component::code) was kept in a file; the file is mapped, not read.
    ///
    /// # Errors
    ///
    /// When the file is none that an engine of this version and configuration wrote.
    ///
    /// # Safety
    ///
    /// The file must be what [`Component::code`] gave for these bytes, and nobody may change it: it is executed
    /// as it is.
    #[allow(
        unsafe_code,
        reason = "the one place where compiled code is taken on trust"
    )]
    pub unsafe fn load_code(&self, file: &Path, bytes: &[u8]) -> Result<Component, ModuleError> {
        // SAFETY: the caller's promise is the one that is asked for here.
        let component =
            unsafe { wasmtime::component::Component::deserialize_file(&self.engine, file) };
        let component = component.map_err(|error| ModuleError::Broken(format!("{error:#}")))?;
        self.link(&component, bytes)
    }

    fn link(
        &self,
        component: &wasmtime::component::Component,
        bytes: &[u8],
    ) -> Result<Component, ModuleError> {
        let imports = module::check_world(component, &self.engine)?;
        let pre = v0_1::link(&self.linker, component)?;
        Ok(Component::new(
            pre,
            self.gates.clone(),
            Digest::of(bytes),
            bytes.len(),
            imports,
        ))
    }
}

fn config(concurrency: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(concurrency)
        .total_core_instances(concurrency * CORE_INSTANCES)
        .total_memories(concurrency * MEMORIES)
        .total_tables(concurrency * TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY_CEILING);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // The same input must give the same bytes out, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // A trap is told by its kind and the guest's own last words; frames of a stripped guest say nothing.
        .wasm_backtrace_max_frames(None);
    config
}
