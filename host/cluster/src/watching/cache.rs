use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use handler_host_core::{GrantedQuery, Key, Object};
use parking_lot::RwLock;

use super::object_index::ObjectIndex;
use super::object_memory::{HandlerObjects, NoRoom};

/// How many deletions are remembered. There are never as many writes under way.
const DELETIONS: usize = 4096;

/// The known objects of one kind. They come from the watch, and from the answers to the host's own writes, which
/// arrive first.
#[derive(Default)]
pub(crate) struct Cache {
    contents: RwLock<Contents>,
}

#[derive(Default)]
struct Contents {
    objects: HashMap<Key, Arc<Object>>,
    /// What the objects take.
    memory: Arc<HandlerObjects>,
    by_uid: HashMap<Box<str>, Key>,
    /// The keys of the objects that name a parent's uid.
    by_parent: HashMap<Box<str>, Vec<Key>>,
    /// What queries find objects by; None where there are no queries.
    index: Option<ObjectIndex>,
    /// The version at which an object was deleted. The answer to an earlier write may arrive after the deletion.
    deleted: HashMap<Key, u128>,
    deletions: VecDeque<Key>,
    /// What the answers to the host's own writes stored since the last list began. It may be newer than the list.
    stored_since_list: HashSet<Key>,
    /// Whether a list has begun that is not complete.
    is_listing: bool,
    /// Whether an object in that list is older than it was known: the cluster was restored from an older copy.
    has_gone_back: bool,
}

impl Cache {
    /// A cache whose objects take of this memory.
    pub(crate) fn new(memory: Arc<HandlerObjects>) -> Self {
        let contents = Contents {
            memory,
            ..Contents::default()
        };
        Self {
            contents: RwLock::new(contents),
        }
    }

    /// A cache that queries are answered from, whose objects take of this memory.
    pub(crate) fn of_related(memory: Arc<HandlerObjects>) -> Self {
        let contents = Contents {
            memory,
            index: Some(ObjectIndex::default()),
            ..Contents::default()
        };
        Self {
            contents: RwLock::new(contents),
        }
    }

    /// The objects that a query asks for, in any order.
    pub(crate) fn select(&self, query: &GrantedQuery) -> Vec<Arc<Object>> {
        let contents = self.contents.read();
        let keys = contents.index.as_ref().and_then(|it| it.candidates(query));
        let matches = |object: &&Arc<Object>| query.matches(object);
        match keys {
            Some(keys) => {
                let found = keys.filter_map(|key| contents.objects.get(key));
                found.filter(matches).cloned().collect()
            }
            None => contents.objects.values().filter(matches).cloned().collect(),
        }
    }

    /// Whether objects may take so many bytes more.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), NoRoom> {
        self.contents.read().memory.has_room(more)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.contents.read().objects.get(key).cloned()
    }

    pub(crate) fn key_of(&self, uid: &str) -> Option<Key> {
        self.contents.read().by_uid.get(uid).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.contents.read().objects.keys().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.contents.read().objects.len()
    }

    /// Whether there are objects that name this parent's uid.
    pub(crate) fn has_children_of(&self, parent_uid: &str) -> bool {
        self.contents.read().by_parent.contains_key(parent_uid)
    }

    /// The objects that name this parent's uid, in any order.
    pub(crate) fn children_of(&self, parent_uid: &str) -> Vec<Arc<Object>> {
        let contents = self.contents.read();
        let keys = contents.by_parent.get(parent_uid);
        keys.into_iter()
            .flatten()
            .filter_map(|key| contents.objects.get(key).cloned())
            .collect()
    }

    /// Stores an object, unless a later version of it is known already. Gives the one that is stored then.
    pub(crate) fn insert(&self, object: Arc<Object>) -> Arc<Object> {
        let key = object.key();
        let mut contents = self.contents.write();
        if contents.is_listing {
            contents.stored_since_list.insert(key.clone());
        }
        contents.store(key, object)
    }

    /// A list begins. It says what is there now, even if that is older than what is known: the cluster may have been
    /// restored from an older copy, in which versions begin again at an earlier one.
    pub(crate) fn begin_list(&self) {
        let mut contents = self.contents.write();
        contents.stored_since_list.clear();
        contents.is_listing = true;
    }

    /// Stores an object of a list, unless a later version of it was stored since the list began. Gives the one that is
    /// stored then.
    pub(crate) fn insert_listed(&self, listed: Arc<Object>) -> Arc<Object> {
        let key = listed.key();
        let mut contents = self.contents.write();
        if !contents.stored_since_list.contains(&key) {
            let deleted = contents.deleted.remove(&key);
            let known = contents.remove(&key).map(|known| known.version());
            contents.has_gone_back |= known.max(deleted) > Some(listed.version());
        }
        contents.store(key, listed)
    }

    /// Removes an object, unless a later one of that name is known already.
    pub(crate) fn remove(&self, gone: &Object) {
        let key = gone.key();
        let mut contents = self.contents.write();
        if contents
            .objects
            .get(&key)
            .is_some_and(|known| known.version() <= gone.version())
        {
            contents.remove(&key);
        }
        contents.remember_deletion(key, gone.version());
    }

    /// Removes the objects that were not in a list of a namespace, or of everything if `namespace` is None. Gives
    /// them. One that an answer stored since the list began goes too: if it is newer than the list, the watch brings it
    /// next; if it was deleted before the list was made, nothing would ever tell.
    pub(crate) fn retain(
        &self,
        namespace: Option<&str>,
        listed: &HashSet<Key>,
    ) -> Vec<Arc<Object>> {
        let mut contents = self.contents.write();
        contents.is_listing = false;
        if std::mem::take(&mut contents.has_gone_back) {
            contents.deleted.clear();
            contents.deletions.clear();
        }
        contents.stored_since_list.clear();
        let is_gone = |key: &&Key| {
            let is_in_scope = namespace.is_none() || key.namespace.as_deref() == namespace;
            is_in_scope && !listed.contains(*key)
        };
        let gone: Vec<Key> = contents.objects.keys().filter(is_gone).cloned().collect();
        gone.iter().filter_map(|key| contents.remove(key)).collect()
    }
}

impl Contents {
    /// Stores an object, unless a later version of it is known already. Gives the one that is stored then.
    fn store(&mut self, key: Key, object: Arc<Object>) -> Arc<Object> {
        if let Some(known) = self.objects.get(&key)
            && known.version() > object.version()
        {
            return known.clone();
        }
        if self
            .deleted
            .get(&key)
            .is_some_and(|gone| *gone >= object.version())
        {
            return object;
        }
        self.remove(&key);
        for uid in object.parent_uids() {
            let siblings = self.by_parent.entry(uid.into()).or_default();
            if !siblings.contains(&key) {
                siblings.push(key.clone());
            }
        }
        if let Some(index) = &mut self.index {
            index.add(&key, &object);
        }
        self.by_uid
            .insert(object.meta.uid.as_str().into(), key.clone());
        self.memory.add(object.memory());
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let object = self.objects.remove(key)?;
        self.memory.give_back(object.memory());
        if let Some(index) = &mut self.index {
            index.remove(key, &object);
        }
        self.by_uid.remove(object.meta.uid.as_str());
        for uid in object.parent_uids() {
            if let Some(siblings) = self.by_parent.get_mut(uid) {
                siblings.retain(|sibling| sibling != key);
                if siblings.is_empty() {
                    self.by_parent.remove(uid);
                }
            }
        }
        Some(object)
    }

    fn remember_deletion(&mut self, key: Key, version: u128) {
        if self.deleted.insert(key.clone(), version).is_none() {
            self.deletions.push_back(key);
        }
        if self.deletions.len() > DELETIONS
            && let Some(oldest) = self.deletions.pop_front()
        {
            self.deleted.remove(&oldest);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let contents = self.contents.get_mut();
        let objects = contents.objects.values();
        let bytes = objects.map(|object| object.memory()).sum();
        contents.memory.give_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use handler_host_core::Kind;

    use super::super::object_memory::ObjectMemory;
    use super::*;

    fn object(name: &str, version: u32, parent: &str) -> Arc<Object> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"ns","resourceVersion":"{version}","ownerReferences":[{{"uid":"{parent}"}}]}}}}"#
        );
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        Arc::new(Object::parse(&kind, &text).unwrap())
    }

    #[test]
    fn news_that_is_older_than_our_own_write_is_ignored() {
        let cache = Cache::default();
        cache.insert(object("a", 10, "p"));
        cache.insert(object("a", 9, "q"));
        cache.remove(&object("a", 9, "p"));
        assert_eq!(cache.children_of("p").len(), 1);
        assert!(cache.children_of("q").is_empty());
    }

    #[test]
    fn an_answer_that_arrives_after_the_deletion_brings_nothing_back() {
        let cache = Cache::default();
        cache.insert(object("a", 1, "p"));
        cache.remove(&object("a", 5, "p"));
        cache.insert(object("a", 4, "p"));
        assert!(cache.children_of("p").is_empty());
        cache.insert(object("a", 6, "p"));
        assert_eq!(cache.children_of("p").len(), 1);
    }

    #[test]
    fn a_list_says_what_is_there_even_if_versions_run_backwards() {
        let cache = Cache::default();
        cache.insert(object("a", 100, "p"));
        cache.insert(object("b", 100, "p"));
        cache.remove(&object("b", 101, "p"));
        cache.begin_list();
        // This answer is newer than the list.
        cache.insert(object("c", 60, "p"));
        for listed in [
            object("a", 50, "q"),
            object("b", 40, "q"),
            object("c", 30, "q"),
        ] {
            cache.insert_listed(listed);
        }
        let listed = ["a", "b", "c"].map(|name| Key::new(Some("ns"), name));
        cache.retain(None, &HashSet::from(listed));
        assert_eq!(cache.children_of("q").len(), 2);
        assert_eq!(cache.children_of("p").len(), 1);
    }

    #[test]
    fn an_answer_of_before_the_list_does_not_outlive_its_object() {
        let cache = Cache::default();
        cache.begin_list();
        cache.insert(object("a", 10, "p"));
        // It was deleted before the list was made, so the watch does not tell of it.
        let gone = cache.retain(None, &HashSet::new());
        assert_eq!(gone.len(), 1);
        assert!(cache.children_of("p").is_empty());
    }

    #[test]
    fn a_child_that_changes_its_parent_is_found_there_only() {
        let cache = Cache::default();
        cache.insert(object("a", 1, "p"));
        cache.insert(object("a", 2, "q"));
        assert!(cache.children_of("p").is_empty());
        assert_eq!(cache.children_of("q").len(), 1);
        cache.remove(&object("a", 3, "q"));
        assert!(cache.children_of("q").is_empty());
    }

    #[test]
    fn what_is_stored_counts_until_it_is_gone() {
        let held = Arc::default();
        let all = ObjectMemory::new(None, Arc::clone(&held));
        let cache = Cache::new(Arc::new(HandlerObjects::new(&all)));
        let (a, b) = (object("a", 1, "p"), object("b", 1, "p"));
        cache.insert(a.clone());
        cache.insert(object("a", 2, "p"));
        cache.insert(b.clone());
        assert_eq!(held.load(Ordering::Relaxed), a.memory() + b.memory());
        cache.remove(&object("a", 3, "p"));
        assert_eq!(held.load(Ordering::Relaxed), b.memory());
        drop(cache);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let cache = Cache::default();
        for name in ["a", "b"] {
            cache.insert(object(name, 1, "p"));
        }
        assert!(cache.retain(Some("other"), &HashSet::new()).is_empty());
        let gone = cache.retain(Some("ns"), &HashSet::from([Key::new(Some("ns"), "a")]));
        assert_eq!(gone.len(), 1);
        assert_eq!(cache.keys(), [Key::new(Some("ns"), "a")]);
    }
}
