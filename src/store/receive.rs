//! Taking an object in: chunk by chunk, with its digest, and all or nothing.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{CHUNKS_WAITING_MAX, Error, in_time};

/// What is known of content that has come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

enum Message {
    Chunk(Bytes),
    Seal(oneshot::Sender<Seal>),
    Complete(oneshot::Sender<Result<(), Error>>),
}

/// An object that is being taken in. Dropping it leaves nothing behind.
pub struct Receiving {
    messages: mpsc::Sender<Message>,
    failure: oneshot::Receiver<Error>,
}

pub(super) fn begin(handle: &Handle, backend: Arc<dyn ObjectStore>, path: Path, part_bytes: usize) -> Receiving {
    let (messages, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
    let (failed, failure) = oneshot::channel();
    let object = Object { backend, path, part_bytes, part: Vec::new(), parts: None };
    handle.spawn(async move {
        if let Err(error) = object.take_in(waiting).await {
            let _ = failed.send(error);
        }
    });
    Receiving { messages, failure }
}

impl Receiving {
    /// Hands the next chunk over; waits while the store is behind.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.tell(Message::Chunk(chunk)).await
    }

    /// Says that this was all, and answers what came.
    pub async fn seal(&mut self) -> Result<Seal, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Seal(reply)).await?;
        match answer.await {
            Ok(seal) => Ok(seal),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Puts the object there, whole and on the disk.
    pub async fn complete(mut self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Complete(reply)).await?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.failure().await),
        }
    }

    async fn tell(&mut self, message: Message) -> Result<(), Error> {
        match self.messages.send(message).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    async fn failure(&mut self) -> Error {
        (&mut self.failure).await.unwrap_or_else(super::ended)
    }
}

/// The object on its way.
struct Object {
    backend: Arc<dyn ObjectStore>,
    path: Path,
    part_bytes: usize,
    /// What is not yet a whole part.
    part: Vec<u8>,
    /// Begun with the first whole part; what is smaller is put at once.
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Object {
    async fn take_in(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), Error> {
        let (mut digest, mut size_bytes) = (Sha256::new(), 0_u64);
        while let Some(message) = messages.recv().await {
            match message {
                Message::Chunk(chunk) => {
                    digest.update(&chunk);
                    size_bytes += chunk.len() as u64;
                    if let Err(error) = self.add(&chunk).await {
                        self.give_up().await;
                        return Err(error);
                    }
                }
                Message::Seal(reply) => {
                    let sha256 = super::send::hexadecimal(digest.clone());
                    let _ = reply.send(Seal { size_bytes, sha256 });
                }
                Message::Complete(reply) => {
                    let done = self.complete().await;
                    if done.is_err() {
                        self.give_up().await;
                    }
                    let _ = reply.send(done);
                    return Ok(());
                }
            }
        }
        // Whoever sent it went away.
        self.give_up().await;
        Ok(())
    }

    async fn add(&mut self, mut chunk: &[u8]) -> Result<(), Error> {
        while self.part.len() + chunk.len() >= self.part_bytes {
            let (fits, rest) = chunk.split_at(self.part_bytes - self.part.len());
            self.part.extend_from_slice(fits);
            chunk = rest;
            let part = std::mem::replace(&mut self.part, Vec::with_capacity(self.part_bytes));
            self.put_part(part).await?;
        }
        self.part.extend_from_slice(chunk);
        Ok(())
    }

    async fn put_part(&mut self, part: Vec<u8>) -> Result<(), Error> {
        if self.parts.is_none() {
            let begun = async { self.backend.put_multipart(&self.path).await.map_err(Error::of_write) };
            self.parts = Some(in_time(begun).await?);
        }
        if let Some(parts) = &mut self.parts {
            let put = parts.put_part(part.into());
            in_time(async { put.await.map_err(Error::of_write) }).await?;
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.part);
        if self.parts.is_none() {
            let put = self.backend.put(&self.path, rest.into());
            return in_time(async { put.await.map_err(Error::of_write) }).await.map(|_| ());
        }
        if !rest.is_empty() {
            self.put_part(rest).await?;
        }
        if let Some(parts) = &mut self.parts {
            in_time(async { parts.complete().await.map_err(Error::of_write) }).await?;
        }
        self.parts = None;
        Ok(())
    }

    async fn give_up(&mut self) {
        if let Some(mut parts) = self.parts.take()
            && let Err(error) = in_time(parts.abort()).await
        {
            log::warn!("an upload that was given up is left in the store: {error}");
        }
    }
}
