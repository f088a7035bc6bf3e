use kube::api::ListParams;
use kube::core::ObjectList;

use super::error::{ApiError, answered_with_retries};

/// How many objects one request lists.
const PAGE: u32 = 500;

/// Lists objects page by page, and keeps of each what `keep` makes of it. `list` requests one page.
pub(crate) async fn list_pages<T, U, F>(
    mut params: ListParams,
    list: impl Fn(ListParams) -> F,
    keep: impl Fn(T) -> Option<U>,
) -> Result<Vec<U>, ApiError>
where
    T: Clone,
    F: Future<Output = Result<ObjectList<T>, kube::Error>>,
{
    params.limit = Some(PAGE);
    let mut kept = Vec::new();
    loop {
        let page = answered_with_retries(|| list(params.clone())).await?;
        kept.extend(page.items.into_iter().filter_map(&keep));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(kept),
        }
    }
}
