//! Sending an object out, chunk by chunk. What was altered in the store is never sent to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{ANSWER_MS_MAX, Error};

/// A digest in hexadecimal.
pub(super) fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn next(stream: &mut (impl Stream<Item = object_store::Result<Bytes>> + Unpin)) -> Option<Result<Bytes, Error>> {
    match tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), stream.next()).await {
        Ok(chunk) => chunk.map(|chunk| chunk.map_err(Error::from)),
        Err(_) => Some(Err(Error::Away(format!("no answer within {ANSWER_MS_MAX} ms")))),
    }
}

/// Sends what comes. Where a digest is wanted, the last chunk is held back until the digest of all is known: content
/// that has another one breaks off.
pub(super) async fn pump(
    mut stream: impl Stream<Item = object_store::Result<Bytes>> + Unpin,
    sha256: Option<String>,
    chunks: mpsc::Sender<Result<Bytes, Error>>,
) {
    let (mut digest, mut held) = (Sha256::new(), None);
    loop {
        let chunk = match next(&mut stream).await {
            Some(Ok(chunk)) => {
                if sha256.is_some() {
                    digest.update(&chunk);
                }
                match held.replace(chunk) {
                    Some(earlier) => Ok(earlier),
                    None => continue,
                }
            }
            Some(Err(error)) => Err(error),
            None => break,
        };
        let last = chunk.is_err();
        // A reader that went away wants no more.
        if chunks.send(chunk).await.is_err() || last {
            return;
        }
    }
    let Some(held) = held else { return };
    let altered = sha256.is_some_and(|wanted| wanted != hexadecimal(digest));
    // Where the reader went away there is nobody to tell.
    let _ = chunks.send(if altered { Err(Error::Altered) } else { Ok(held) }).await;
}

/// The SHA-256 of an object.
pub(super) async fn sha256(backend: Arc<dyn ObjectStore>, path: Path) -> Result<String, Error> {
    let mut stream = super::in_time(backend.get(&path)).await?.into_stream();
    let mut digest = Sha256::new();
    while let Some(chunk) = next(&mut stream).await {
        digest.update(&chunk?);
    }
    Ok(hexadecimal(digest))
}
