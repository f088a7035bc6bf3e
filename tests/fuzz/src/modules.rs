use std::fs::File;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use handler_host_core::{Call, CallLimits, Digest, Invoke as _, is_handler_name};
use handler_host_engine::{Component, ModuleError, Runtime, check_header, compile};
use handler_host_registry::path_of;
use rustix::fs::MemfdFlags;

use crate::answers::answered;

/// Less than any Handler may have, so that an input takes no longer than a test may.
const LIMITS: CallLimits = CallLimits {
    memory: 8 << 20,
    deadline: Duration::from_millis(50),
    response: 64 << 10,
};

/// How many Events of an answer are kept.
const EVENTS: usize = 8;

/// Loads a module as the host does, and as the commands do that compile within their own process. It describes itself,
/// and answers for a parent.
pub fn modules(data: &[u8]) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new(1, None).unwrap());
    let loaded = RUNTIME.load(data);
    let apart = load_apart(&RUNTIME, data);
    match (loaded, apart) {
        (Ok(component), Ok(apart)) => {
            is_of(&component, data);
            is_of(&apart, data);
            assert_eq!(component.imports(), apart.imports());
            describes_within_bounds(&component);
            answers_within_bounds(component);
        }
        (Err(error), Err(apart)) => {
            // The text may differ: another engine finds it out.
            assert_eq!(
                is_refused_for_size(&error),
                is_refused_for_size(&apart),
                "{error}; {apart}"
            );
            assert!(!error.to_string().is_empty());
        }
        (Ok(_), Err(error)) => panic!("only compiled apart it {error}"),
        (Err(error), Ok(_)) => panic!("compiled apart it loads, and else it {error}"),
    }
}

/// The way of the host: the code is compiled by an engine that runs nothing, and passed on in a file.
fn load_apart(runtime: &Runtime, bytes: &[u8]) -> Result<Component, ModuleError> {
    check_header(bytes)?;
    let code = compile(bytes)?;
    let file = rustix::fs::memfd_create("compiled-code", MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(file);
    file.write_all(&code).unwrap();
    #[allow(unsafe_code, reason = "this is how the host loads it")]
    // SAFETY: the file has the code of these bytes, and nobody else knows it.
    unsafe {
        runtime.load_code(&path_of(&file), bytes)
    }
}

fn is_refused_for_size(error: &ModuleError) -> bool {
    matches!(error, ModuleError::TooLarge(_))
}

fn is_of(component: &Component, bytes: &[u8]) {
    assert_eq!(component.digest(), Digest::of(bytes));
    assert_eq!(component.size(), bytes.len());
    assert!(component.suggested_name().is_none_or(is_handler_name));
}

fn describes_within_bounds(component: &Component) {
    if let Ok(description) = component.describe("{}", LIMITS) {
        assert!(description.children.len() <= 100);
    }
}

fn answers_within_bounds(component: Component) {
    let handler = component.into_handler("evc", LIMITS);
    let answer = handler.invoke(&Call {
        object: "ns/p",
        parent: "{}",
        children: &[],
        related: &[],
        config: "{}",
        now: None,
        room: usize::MAX,
    });
    if let Ok(response) = answer {
        assert!(response.bytes() <= LIMITS.response);
        assert!(response.events.len() <= EVENTS);
        answered(response);
    }
}
