//! Compiles modules in a process of their own, with limits of its own. A module may be small and yet take much time and
//! memory to compile: it then ends that process, and not the host.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use handler_host_engine::{Component, ModuleError, Runtime};
use handler_host_registry::path_of;
use rustix::fs::MemfdFlags;
use rustix::process::{
    Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit,
};

use crate::arguments::CompileArguments;
use crate::memory;

/// The running program, also if its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The least priority there is.
const NICENESS: i32 = 19;
/// How much CPU time compiling may take, in seconds.
const CPU_SECONDS: u64 = 60;
/// How much memory compiling may take where the host has no limit of its own.
const MEMORY: u64 = 1 << 30;
/// How much of what the other process says is read.
const MESSAGE: u64 = 4 << 10;
/// The exit codes of the other process, beside 0.
const BROKEN: u8 = 10;
const TOO_LARGE: u8 = 11;

/// Compiles a module in a process of its own, unless the module is no component, which is told at once. Blocks. The caller
/// sees to it that modules are compiled one at a time.
///
/// # Errors
///
/// What is wrong with the module, or why there is no such process.
pub(crate) fn compile_apart(runtime: &Runtime, bytes: &[u8]) -> Result<Component, ModuleError> {
    handler_host_engine::check_header(bytes)?;
    let code = compiled_code(bytes)?;
    #[allow(
        unsafe_code,
        reason = "code is compiled by another process of this program"
    )]
    // SAFETY: only this process and the one that wrote the file know it, and that one has ended.
    unsafe {
        runtime.load_code(&path_of(&code), bytes)
    }
}

/// A file that holds the compiled code of a module, and that only this process has.
fn compiled_code(bytes: &[u8]) -> Result<File, ModuleError> {
    let failed = |error: std::io::Error| {
        ModuleError::Uncompiled(format!("the host cannot start a process for it ({error})"))
    };
    let memory = memory::left().unwrap_or(MEMORY).min(MEMORY);
    let code = rustix::fs::memfd_create("compiled-code", MemfdFlags::CLOEXEC);
    let code = File::from(code.map_err(|error| failed(error.into()))?);
    let mut compiling = Command::new(OWN_PROGRAM)
        .args(["compile", "--memory", &memory.to_string()])
        .args(["--cpu-seconds", &CPU_SECONDS.to_string()])
        // Nothing of the environment, such as credentials, is of use to it.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(code.try_clone().map_err(failed)?)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = compiling.stdin.take() {
        // Where it has ended before the end of its input, its exit code says why.
        let _ = input.write_all(bytes);
    }
    let mut message = Vec::new();
    if let Some(mut told) = compiling.stderr.take() {
        let _ = told.by_ref().take(MESSAGE).read_to_end(&mut message);
        let _ = std::io::copy(&mut told, &mut std::io::sink());
    }
    let ended = compiling.wait().map_err(failed)?;
    let message = String::from_utf8_lossy(&message).trim().to_owned();
    if ended.success() {
        Ok(code)
    } else {
        Err(problem(ended, message, memory))
    }
}

/// What is wrong with a module whose compilation ended otherwise than well.
fn problem(ended: ExitStatus, message: String, memory: u64) -> ModuleError {
    if let Some(code) = ended.code() {
        return match u8::try_from(code) {
            Ok(BROKEN) => ModuleError::Broken(message),
            Ok(TOO_LARGE) => ModuleError::TooLarge(message),
            _ => ModuleError::Uncompiled(format!("the compiler ended with {code}: {message}")),
        };
    }
    match ended.signal() {
        // An allocation that fails aborts the process.
        Some(libc_signal) if libc_signal == Signal::ABORT.as_raw() => {
            let mib = memory >> 20;
            ModuleError::Costly(format!(
                "takes more than the {mib} MiB of memory that this host has for it"
            ))
        }
        Some(libc_signal)
            if libc_signal == Signal::XCPU.as_raw() || libc_signal == Signal::KILL.as_raw() =>
        {
            ModuleError::Costly(format!("takes more than {CPU_SECONDS} s of CPU time"))
        }
        signal => ModuleError::Uncompiled(format!("the compiler was ended by signal {signal:?}")),
    }
}

/// Compiles the module on standard input, within limits, and writes its code to standard output. Only the host runs it.
pub(crate) fn compile(arguments: &CompileArguments) -> Result<ExitCode> {
    // The process ends with the host.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setpriority_process(None, NICENESS)?;
    let limit = |most| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Data, limit(arguments.memory))?;
    setrlimit(Resource::Cpu, limit(arguments.cpu_seconds))?;
    setrlimit(Resource::Core, limit(0))?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("the module cannot be read")?;
    let (code, message) = match handler_host_engine::compile(&bytes) {
        Ok(code) => {
            std::io::stdout()
                .write_all(&code)
                .context("the code cannot be written")?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(ModuleError::TooLarge(message)) => (TOO_LARGE, message),
        Err(ModuleError::Broken(message)) => (BROKEN, message),
        Err(error) => (BROKEN, error.to_string()),
    };
    std::io::stderr()
        .write_all(message.as_bytes())
        .context("the message cannot be written")?;
    Ok(ExitCode::from(code))
}
