use std::collections::BTreeMap;
use std::time::Duration;

use futures::AsyncReadExt as _;
use handler_host_core::{FieldTypes, Kind, Schemas};
use http::Request;
use kube::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::error::answered_with_retries;

/// Where the API server lists its documents of OpenAPI v3: one for each group and version.
const INDEX: &str = "/openapi/v3";
/// The most bytes of the list or of a document. The largest of Kubernetes itself, that of `v1`, has 1.6 MB.
const MOST_BYTES: u64 = 32 << 20;
/// How often a document is looked for that is not published yet. The API server serves a new kind a moment before it
/// publishes the kind's schema.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_millis(500);
/// How long a handler waits for a document. It can serve without.
const PATIENCE: Duration = Duration::from_secs(20);

/// The documents that were read last, by path. The address of a document has a hash of its content, so a document is
/// read again only if it has changed, for however many handlers. The lock is held while one is read, so that only one
/// at a time is in memory.
static DOCUMENTS: Mutex<BTreeMap<String, ReadDocument>> = Mutex::const_new(BTreeMap::new());

struct ReadDocument {
    address: String,
    schemas: Schemas,
}

#[derive(Deserialize)]
struct Index {
    paths: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    #[serde(rename = "serverRelativeURL")]
    address: String,
}

/// What the API server's schema says about the fields of a kind. Where it says nothing, or may not be read, that is
/// logged, and the kind's fields are compared without a schema.
pub(crate) async fn field_types(client: &Client, kind: &Kind) -> FieldTypes {
    let mut problem = "it publishes none".to_owned();
    for attempt in 1..=TRIES {
        match timeout(PATIENCE, read(client, kind)).await {
            Ok(Ok(Some(types))) => return types,
            Ok(Ok(None)) if attempt < TRIES => sleep(WAIT).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                problem = error;
                break;
            }
            Err(_) => {
                problem = format!("no answer within {} s", PATIENCE.as_secs());
                break;
            }
        }
    }
    tracing::warn!(%kind, "the API server's schema of {kind} cannot be read: {problem}; its quantities are compared as text");
    FieldTypes::default()
}

/// Reads the field types of a kind; None if the API server publishes none.
async fn read(client: &Client, kind: &Kind) -> Result<Option<FieldTypes>, String> {
    let mut documents = DOCUMENTS.lock().await;
    let index: Index = serde_json::from_slice(&get(client, INDEX).await?)
        .map_err(|error| format!("{INDEX} is no list of documents ({error})"))?;
    let path = match kind.group() {
        "" => format!("api/{}", kind.version()),
        group => format!("apis/{group}/{}", kind.version()),
    };
    let Some(IndexEntry { address }) = index.paths.get(&path) else {
        return Ok(None);
    };
    if let Some(known) = documents.get(&path)
        && known.address == *address
    {
        return Ok(known.schemas.of(kind));
    }
    if !address.starts_with(INDEX) {
        return Err(format!(
            "{INDEX} lists it at {address:?}, which is elsewhere"
        ));
    }
    let text = get(client, address).await?;
    // A large document takes a while, and no async thread is to stand still that long.
    let parsed = tokio::task::spawn_blocking(move || Schemas::parse(&text)).await;
    let schemas = parsed
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("{address} is {error}"))?;
    let types = schemas.of(kind);
    let address = address.clone();
    documents.insert(path, ReadDocument { address, schemas });
    Ok(types)
}

async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    let read = || async {
        let request = Request::get(address)
            .header("Accept", "application/json")
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        let mut text = Vec::new();
        let answer = client.request_stream(request).await?;
        std::pin::pin!(answer.take(MOST_BYTES + 1))
            .read_to_end(&mut text)
            .await
            .map_err(|error| kube::Error::Service(error.into()))?;
        Ok(text)
    };
    let text = answered_with_retries(read).await;
    let text = text.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("{address} has more than {MOST_BYTES} bytes"));
    }
    Ok(text)
}
