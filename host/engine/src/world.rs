use handler_host_core::{Call, Description, Failure, Query, Response, Timestamp};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;

use crate::contract::Contract;
use crate::error::{DescribeError, ModuleError};
use crate::sandbox::{MonotonicClock, Sandbox};
use crate::{v0_1, v0_2};

/// What the interfaces of every version of the world begin with.
const PACKAGE: &str = "handler-host:handler/";

/// A version of the world `handler-host:handler`: the contract that a component was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Version 0.1.
    V0_1,
    /// Version 0.2.
    V0_2,
}

impl World {
    /// The versions that this host serves.
    const NEWEST_FIRST: [Self; 2] = [Self::V0_2, Self::V0_1];

    fn contract(self) -> Contract {
        match self {
            Self::V0_1 => v0_1::CONTRACT,
            Self::V0_2 => v0_2::CONTRACT,
        }
    }

    /// What the monotonic clock of a call shows.
    pub(crate) fn monotonic_clock(self) -> MonotonicClock {
        match self {
            Self::V0_1 => v0_1::MONOTONIC_CLOCK,
            Self::V0_2 => v0_2::MONOTONIC_CLOCK,
        }
    }

    /// The name and version of the world's package, such as `handler-host:handler@0.1.0`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.contract().name
    }

    /// The full name of the world, as the image of a component states it, such as
    /// `handler-host:handler/handler@0.1.0`.
    #[must_use]
    pub fn target(self) -> &'static str {
        self.contract().target
    }

    /// The functions that a component of this world exports.
    #[must_use]
    pub fn exports(self) -> &'static [&'static str] {
        self.contract().exports
    }

    fn version(self) -> &'static str {
        self.name().rsplit('@').next().unwrap_or_default()
    }

    /// The world whose interfaces are imported. It is None if the component imports none: the types of its
    /// exports can be its own.
    fn of<'a>(imports: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>, ModuleError> {
        let is_ours = |import: &&str| import.starts_with(PACKAGE);
        let Some(import) = imports.into_iter().find(is_ours) else {
            return Ok(None);
        };
        let (_, version) = import.split_once('@').unwrap_or((import, ""));
        let world = Self::NEWEST_FIRST
            .into_iter()
            .find(|world| world.version() == version);
        match world {
            Some(world) => Ok(Some(world)),
            None => Err(ModuleError::Version {
                found: version.to_owned(),
                served: Self::NEWEST_FIRST.map(Self::version).join(" and "),
            }),
        }
    }
}

/// Links components to their world.
#[derive(Clone)]
pub(crate) struct Linkers {
    /// It has the interfaces of every world, whose names differ by their version.
    linker: Linker<Sandbox>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        linker.allow_shadowing(true);
        monotonic_clock::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)?;
        linker.allow_shadowing(false);
        v0_1::add_to_linker(&mut linker)?;
        v0_2::add_to_linker(&mut linker)?;
        Ok(Self { linker })
    }

    /// Links a component to its world.
    pub(crate) fn link(&self, component: &Component) -> Result<Linked, ModuleError> {
        let type_ = component.component_type();
        let imports = type_.imports(component.engine()).map(|(name, _)| name);
        if let Some(world) = World::of(imports)? {
            return self.link_to(world, component);
        }
        // Its world is the newest that it links to. If it links to none, the newest world says what is missing.
        let [newest, older @ ..] = World::NEWEST_FIRST;
        older
            .into_iter()
            .fold(self.link_to(newest, component), |linked, world| {
                linked.or_else(|error| self.link_to(world, component).map_err(|_| error))
            })
    }

    fn link_to(&self, world: World, component: &Component) -> Result<Linked, ModuleError> {
        let contract = world.contract();
        contract.check(component)?;
        let linked = match world {
            World::V0_1 => v0_1::link(&self.linker, component).map(Linked::V0_1),
            World::V0_2 => v0_2::link(&self.linker, component).map(Linked::V0_2),
        };
        linked.map_err(|error| contract.another_world(format!("{error:#}")))
    }
}

/// The input of one call of `reconcile`.
pub(crate) struct Input {
    pub(crate) parent: String,
    pub(crate) children: Vec<String>,
    pub(crate) related: Vec<Vec<String>>,
    pub(crate) config: String,
    pub(crate) now: Option<Timestamp>,
}

impl From<&Call<'_>> for Input {
    fn from(call: &Call<'_>) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            parent: call.parent.to_owned(),
            children: texts(call.children),
            related: call.related.iter().map(|answer| texts(answer)).collect(),
            config: call.config.to_owned(),
            now: call.now,
        }
    }
}

/// A component, linked to its world.
#[derive(Clone)]
pub(crate) enum Linked {
    V0_1(v0_1::HandlerPre<Sandbox>),
    V0_2(v0_2::HandlerPre<Sandbox>),
}

impl Linked {
    pub(crate) fn world(&self) -> World {
        match self {
            Self::V0_1(_) => World::V0_1,
            Self::V0_2(_) => World::V0_2,
        }
    }

    pub(crate) fn component(&self) -> &Component {
        match self {
            Self::V0_1(handler) => handler.instance_pre().component(),
            Self::V0_2(handler) => handler.instance_pre().component(),
        }
    }

    pub(crate) async fn describe(
        &self,
        store: &mut Store<Sandbox>,
        config: &str,
    ) -> Result<Result<Description, DescribeError>> {
        match self {
            Self::V0_1(handler) => v0_1::describe(handler, store, config).await,
            Self::V0_2(handler) => v0_2::describe(handler, store, config).await,
        }
    }

    pub(crate) async fn related(
        &self,
        store: &mut Store<Sandbox>,
        parent: &str,
        config: &str,
    ) -> Result<Result<Vec<Query>, Failure>> {
        match self {
            // It describes no related kinds.
            Self::V0_1(_) => Ok(Ok(Vec::new())),
            Self::V0_2(handler) => v0_2::related(handler, store, parent, config).await,
        }
    }

    pub(crate) async fn reconcile(
        &self,
        store: &mut Store<Sandbox>,
        input: Input,
    ) -> Result<Result<Response, Failure>> {
        match self {
            Self::V0_1(handler) => v0_1::reconcile(handler, store, input).await,
            Self::V0_2(handler) => v0_2::reconcile(handler, store, input).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use handler_host_core::{CallLimits, Fault};
    use rstest::rstest;

    use super::*;
    use crate::Runtime;

    #[rstest]
    #[case::by_its_log(&["wasi:cli/stderr@0.2.3", "handler-host:handler/log@0.1.0"])]
    #[case::by_its_types(&["handler-host:handler/types@0.1.0"])]
    fn a_world_is_known_by_the_interfaces_that_are_imported(#[case] imports: &[&str]) {
        assert_eq!(World::of(imports.iter().copied()), Ok(Some(World::V0_1)));
    }

    #[test]
    fn an_import_of_another_version_is_refused_with_the_versions_that_are_served() {
        let error = World::of(["handler-host:handler/types@0.9.0"]).unwrap_err();
        let message = "was built for handler-host:handler@0.9.0, this host speaks 0.2.0 and 0.1.0;";
        assert!(error.to_string().starts_with(message), "{error}");
    }

    /// It has the exports of the world, exports their types itself, and imports nothing.
    const OWN_TYPES: &str = r#"(component
        (core module $code
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "describe") (param i32 i32) (result i32) unreachable)
            (func (export "reconcile") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))
        (core instance $code (instantiate $code))
        (alias core export $code "memory" (core memory $memory))
        (alias core export $code "realloc" (core func $realloc))
        (type $kind_ (record (field "api-version" string) (field "kind" string)))
        (export $kind "kind" (type $kind_))
        (type $description_ (record
            (field "parent" $kind) (field "children" (list $kind)) (field "finalizer" bool)))
        (export $description "description" (type $description_))
        (type $request_ (record
            (field "parent" string) (field "children" (list string)) (field "config" string)))
        (export $request "request" (type $request_))
        (type $readiness_ (variant (case "ready") (case "waiting" string)))
        (export $readiness "readiness" (type $readiness_))
        (type $severity_ (enum "normal" "warning"))
        (export $severity "severity" (type $severity_))
        (type $event_ (record
            (field "severity" $severity) (field "reason" string) (field "message" string)))
        (export $event "event" (type $event_))
        (type $response_ (record
            (field "children" (list string)) (field "status" (option string))
            (field "readiness" $readiness) (field "events" (list $event))
            (field "requeue-after-ms" (option u64))))
        (export $response "response" (type $response_))
        (type $temporary_ (record (field "message" string) (field "delay-ms" (option u64))))
        (export $temporary "temporary-failure" (type $temporary_))
        (type $failure_ (variant (case "permanent" string) (case "temporary" $temporary)))
        (export $failure "failure" (type $failure_))
        (func $describe (param "config" string) (result (result $description (error string)))
            (canon lift (core func $code "describe")
                (memory $memory) (realloc (core func $realloc))))
        (func $reconcile (param "request" $request) (result (result $response (error $failure)))
            (canon lift (core func $code "reconcile")
                (memory $memory) (realloc (core func $realloc))))
        (export "describe" (func $describe))
        (export "reconcile" (func $reconcile)))"#;

    #[test]
    fn a_component_that_imports_no_interface_of_ours_is_of_the_world_that_it_links_to() {
        let bytes = wat::parse_str(OWN_TYPES).unwrap();
        let component = Runtime::new(1, None).unwrap().load(&bytes).unwrap();
        assert_eq!(component.imports(), Vec::<String>::new());
        assert_eq!(component.world(), World::V0_1);
    }

    #[test]
    fn tables_count_as_memory() {
        let memory = r#"(memory (export "memory") 1)"#;
        let tables = "(table 100000 funcref)".repeat(2);
        let text = OWN_TYPES.replace(memory, &format!("{memory} {tables}"));
        let bytes = wat::parse_str(text).unwrap();
        let component = Runtime::new(1, None).unwrap().load(&bytes).unwrap();
        let described = |memory| {
            let limits = CallLimits {
                memory,
                ..CallLimits::default()
            };
            component.describe("{}", limits).unwrap_err()
        };
        let within = described(4 << 20);
        assert!(
            matches!(within, DescribeError::Stopped(Fault::Trap(_))),
            "{within:?}"
        );
        let over = described(1 << 20);
        assert_eq!(over, DescribeError::Stopped(Fault::Memory(1 << 20)));
    }
}
