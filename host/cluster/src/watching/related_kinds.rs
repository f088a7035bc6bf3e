use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use handler_host_core::{Grant, GrantedQuery, Key, Kind, Object, QueryIndex};
use parking_lot::RwLock;

use super::cache::Cache;
use super::object_memory::{HandlerObjects, NoRoom};

/// The objects that a handler may see beside its parents and children, and which parents depend on which of them.
#[derive(Default)]
pub(crate) struct RelatedKinds {
    sources: Vec<(Kind, Arc<Cache>)>,
    index: RwLock<QueryIndex>,
    memory: Arc<HandlerObjects>,
}

/// A kind of related objects is not served, so that a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer(pub(crate) Kind);

impl RelatedKinds {
    /// No kinds yet. The queries of parents take of this memory.
    pub(super) fn new(memory: Arc<HandlerObjects>) -> Self {
        Self {
            sources: Vec::new(),
            index: RwLock::default(),
            memory,
        }
    }

    /// Adds a cache of objects of a kind.
    pub(super) fn add(&mut self, kind: &Kind, cache: Arc<Cache>) {
        self.sources.push((kind.clone(), cache));
    }

    /// Adds objects of a kind that were listed. They take of this memory.
    pub(crate) fn add_listed(
        &mut self,
        kind: &Kind,
        objects: Vec<Object>,
        memory: &Arc<HandlerObjects>,
    ) {
        let cache = Cache::of_related(memory.clone());
        for object in objects {
            cache.insert(Arc::new(object));
        }
        self.add(kind, Arc::new(cache));
    }

    /// The objects that a query asks for and the grant shows for the parent, ordered by namespace and name.
    pub(crate) fn answer(
        &self,
        query: &GrantedQuery,
        parent: &Object,
        grant: &Grant,
    ) -> Result<Vec<Arc<Object>>, NoAnswer> {
        let sources = self.sources.iter();
        let mut sources = sources.filter(|(kind, _)| *kind == query.kind).peekable();
        if sources.peek().is_none() {
            return Err(NoAnswer(query.kind.clone()));
        }
        // Two watches may follow the same object. The newer one of it counts.
        let mut found: BTreeMap<Key, Arc<Object>> = BTreeMap::new();
        for (kind, cache) in sources {
            for object in cache.select(query) {
                if !grant.shows(kind, &object, parent) {
                    continue;
                }
                let known = found.entry(object.key()).or_insert_with(|| object.clone());
                if known.version() < object.version() {
                    *known = object;
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Notes the queries of a parent. From now on it is among the parents of what they ask for.
    pub(crate) fn set_queries(
        &self,
        parent: &Key,
        queries: &Arc<[GrantedQuery]>,
    ) -> Result<(), NoRoom> {
        let mut index = self.index.write();
        let before = index.memory();
        index.set(parent, queries);
        let after = index.memory();
        self.memory.give_back(before);
        let has_room = self.memory.has_room(after);
        if has_room.is_ok() || after <= before {
            self.memory.add(after);
            return Ok(());
        }
        index.remove(parent);
        self.memory.add(index.memory());
        has_room
    }

    /// Forgets the queries of a parent.
    pub(crate) fn forget(&self, parent: &Key) {
        let mut index = self.index.write();
        let before = index.memory();
        index.remove(parent);
        self.memory.give_back(before - index.memory());
    }

    /// The parents that an object's change may be news to.
    pub(super) fn parents_of(&self, kind: &Kind, object: &Object) -> HashSet<Key> {
        self.index.read().parents_of(kind, object)
    }
}

impl Drop for RelatedKinds {
    fn drop(&mut self) {
        self.memory.give_back(self.index.get_mut().memory());
    }
}
