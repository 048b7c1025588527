//! Where the content of documents lies: a folder, or a bucket of an S3-compatible service. The crate `object_store`,
//! and nothing but that crate.
//!
//! Content is never whole in memory: it comes and goes in chunks, and a caller who is faster than the store waits.
//! The work is done by threads of the store's own, so that a disk or a network that hangs holds up nobody else. Keys
//! are made here; nothing of them comes from outside.

mod receive;
mod send;

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::client::SpawnedReqwestConnector;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use self::receive::{Receiving, Seal};

/// A folder is written in parts of this size.
const FOLDER_PART_BYTES: usize = 256 * 1024;
/// A bucket takes no smaller part than this but the last.
const BUCKET_PART_BYTES: usize = 5 * 1024 * 1024;
/// So many chunks wait for a slow store, or for a slow caller.
const CHUNKS_WAITING_MAX: usize = 4;
/// One answer of the store is waited for so long.
const ANSWER_MS_MAX: u64 = 20_000;
/// A connection to the store is made within this time.
const CONNECT_MS_MAX: u64 = 3_000;
/// What a service of buckets fails at is tried so often again ...
const RETRIES_MAX: usize = 2;
/// ... within this time.
const RETRY_MS_MAX: u64 = 8_000;
/// Threads that wait for disks.
const BLOCKING_THREADS_MAX: usize = 8;
/// Objects are listed in portions of this many.
pub const OBJECTS_PER_PORTION: usize = 500;
/// The object that says whose the store is.
const OWNER: &str = "installation";

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine, or one that several machines share.
    Folder(PathBuf),
    /// A bucket, and the beginning of every key in it.
    Bucket {
        /// The bucket.
        name: String,
        /// The beginning, without slashes around it; may be empty.
        prefix: String,
    },
}

/// The address of a store is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPlace(&'static str);

impl Place {
    /// Reads `file:PATH`, `file:///PATH` or `s3://BUCKET/PREFIX`.
    pub fn parse(text: &str) -> Result<Self, BadPlace> {
        if let Some(path) = text.strip_prefix("file:") {
            let path = match path.strip_prefix("//") {
                Some(path) if path.starts_with('/') => path,
                Some(_) => {
                    return Err(BadPlace("`file://` is followed by an absolute path, such as file:///srv/files"));
                }
                None => path,
            };
            if path.is_empty() {
                return Err(BadPlace("`file:` is followed by the path of a folder"));
            }
            return Ok(Self::Folder(PathBuf::from(path)));
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(BadPlace("the address starts with `file:` or `s3://`"));
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if !(3..=63).contains(&name.len()) || !name.chars().all(fits) {
            return Err(BadPlace("`s3://` is followed by the name of a bucket; credentials are in AWS_… variables"));
        }
        let prefix = prefix.trim_matches('/');
        let part_fits = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if !prefix.is_empty() && !prefix.split('/').all(part_fits) {
            return Err(BadPlace("the prefix behind the bucket has letters, digits, `.`, `-`, `_` and `/`"));
        }
        Ok(Self::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
    }

    /// The folder where documents go when nothing is said: beside the database file, or in the working folder.
    pub fn beside(database: Option<&FilePath>) -> Self {
        match database {
            Some(file) => {
                let mut name = file.as_os_str().to_owned();
                name.push("-documents");
                Self::Folder(PathBuf::from(name))
            }
            None => Self::Folder(PathBuf::from("slipway-documents")),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::Bucket { name, prefix } if prefix.is_empty() => write!(f, "s3://{name}"),
            Self::Bucket { name, prefix } => write!(f, "s3://{name}/{prefix}"),
        }
    }
}

/// What a store cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The object is not there, or not whole.
    #[error("there is no such object in the store")]
    Missing,
    /// The object is another one than was stored.
    #[error("the object in the store was altered")]
    Altered,
    /// There is no room.
    #[error("the store is full")]
    Full,
    /// The store cannot be reached, or does not do what it is asked.
    #[error("the store is not available: {0}")]
    Away(String),
    /// The store belongs to another installation.
    #[error(
        "the store of documents belongs to another installation, {0}: name one of its own in the setting `documents`"
    )]
    Foreign(String),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::Missing;
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<std::io::Error>()
                && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            {
                return Self::Full;
            }
            cause = inner.source();
        }
        Self::Away(error.to_string())
    }
}

impl Error {
    /// Where something is to be written, nothing can be missing but the store itself.
    fn of_write(error: object_store::Error) -> Self {
        match Self::from(error) {
            Self::Missing => Self::Away("there is no such bucket or folder".into()),
            other => other,
        }
    }
}

/// An object, as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was stored, by the clock of the store.
    pub stored_at: DateTime<Utc>,
}

/// A place for the content of documents.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    place: Place,
    options: Vec<(String, String)>,
    opened: Mutex<Option<Arc<Opened>>>,
    /// Whose it is, where that is known: this installation's, or another's, which is named.
    owner: OnceLock<Option<String>>,
    /// True where nothing is read and written before it is known whose it is.
    guarded: AtomicBool,
}

/// A store in use. Its thread ends when the value goes.
struct Opened {
    backend: Arc<dyn ObjectStore>,
    handle: Handle,
    _until: oneshot::Sender<()>,
}

/// Starts a runtime on a thread of its own, until the sender goes away.
fn start_runtime() -> std::io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread().max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build()?;
    let (handle, (until, end)) = (runtime.handle().clone(), oneshot::channel());
    std::thread::Builder::new().name("slipway-store".into()).spawn(move || {
        let _ = runtime.block_on(end);
        // A disk that hangs holds up no end.
        runtime.shutdown_background();
    })?;
    Ok((handle, until))
}

async fn in_time<T, E: Into<Error>>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    match tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), answer).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Error::Away(format!("no answer within {ANSWER_MS_MAX} ms"))),
    }
}

fn ended<E: std::fmt::Display>(error: E) -> Error {
    Error::Away(format!("the work of the store ended early: {error}"))
}

/// A key that nothing had before. It tells nothing of what is behind it.
pub fn fresh_key(id: Uuid) -> String {
    let text = id.as_simple().to_string();
    // Folders of a size that every file system likes.
    format!("{}/{text}", &text[text.len() - 2..])
}

/// True for what [`fresh_key`] makes. Nothing else in the place is the store's: it is not listed and not touched.
fn is_key(text: &str) -> bool {
    let id = text.split_once('/').and_then(|(_, id)| Uuid::try_parse(id).ok());
    id.is_some_and(|id| id.get_version_num() == 7 && fresh_key(id) == text)
}

impl Store {
    /// A store at a place; it is opened when it is used first. `options` are the `AWS_…` variables of the environment.
    pub fn new(place: Place, options: impl IntoIterator<Item = (String, String)>) -> Self {
        let options = options.into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect();
        Self(Arc::new(Inner {
            place,
            options,
            opened: Mutex::new(None),
            owner: OnceLock::new(),
            guarded: AtomicBool::new(false),
        }))
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Bytes of a document under way that are in memory at the same time, at most.
    pub fn part_bytes(&self) -> usize {
        match self.0.place {
            Place::Folder(_) => FOLDER_PART_BYTES,
            Place::Bucket { .. } => BUCKET_PART_BYTES,
        }
    }

    fn open(&self) -> Result<Arc<Opened>, Error> {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let (handle, until) = start_runtime().map_err(|error| Error::Away(error.to_string()))?;
        let backend: Arc<dyn ObjectStore> = match &self.0.place {
            Place::Folder(path) => Arc::new(folder(path)?),
            Place::Bucket { name, prefix } => {
                let bucket = bucket(name, &self.0.options, handle.clone())?;
                Arc::new(PrefixStore::new(bucket, Path::from(prefix.as_str())))
            }
        };
        let now_open = Arc::new(Opened { backend, handle, _until: until });
        *opened = Some(Arc::clone(&now_open));
        Ok(now_open)
    }

    /// From now on nothing is read and nothing is written before [`Store::claim_blocking`] told whose the store is.
    pub fn guard(&self) {
        self.0.guarded.store(true, Ordering::SeqCst);
    }

    /// True where it is to be told whose the store is before it is used.
    pub fn awaits_claim(&self) -> bool {
        self.0.guarded.load(Ordering::SeqCst) && self.0.owner.get().is_none()
    }

    fn is_ours(&self) -> Result<(), Error> {
        match self.0.owner.get() {
            Some(Some(owner)) => Err(Error::Foreign(owner.clone())),
            None if self.awaits_claim() => Err(Error::Away("it is not known yet whose it is".into())),
            None | Some(None) => Ok(()),
        }
    }

    /// Runs work of the store on its own threads.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let opened = self.open()?;
        let work = work(Arc::clone(&opened.backend));
        opened.handle.spawn(work).await.map_err(ended)?
    }

    /// The same for a thread that may wait.
    fn run_blocking<T, F>(&self, work: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let opened = self.open()?;
        let work = work(Arc::clone(&opened.backend));
        opened.handle.block_on(work)
    }

    /// Begins to take an object in, under a key of [`fresh_key`]. Nothing is there before it is completed; where the
    /// value that is answered goes away before that, nothing ever is.
    pub fn receive(&self, key: &str) -> Result<Receiving, Error> {
        self.is_ours()?;
        let opened = self.open()?;
        let (backend, path) = (Arc::clone(&opened.backend), Path::from(key));
        Ok(receive::begin(&opened.handle, backend, path, self.part_bytes()))
    }

    /// Takes a whole object in, for a thread that may wait.
    pub fn put_blocking(&self, key: &str, content: Bytes) -> Result<Seal, Error> {
        let mut receiving = self.receive(key)?;
        self.run_blocking(|_| async move {
            receiving.push(content).await?;
            let seal = receiving.seal().await?;
            receiving.complete().await?;
            Ok(seal)
        })
    }

    /// Takes an object in out of a file, part by part, for a thread that may wait.
    pub fn put_from_blocking(&self, key: &str, source: &mut impl std::io::Read) -> Result<Seal, Error> {
        let mut receiving = self.receive(key)?;
        self.run_blocking(|_| async move {
            let mut part = vec![0; FOLDER_PART_BYTES];
            loop {
                let count = source.read(&mut part).map_err(|error| Error::Away(error.to_string()))?;
                if count == 0 {
                    break;
                }
                receiving.push(Bytes::copy_from_slice(&part[..count])).await?;
            }
            let seal = receiving.seal().await?;
            receiving.complete().await?;
            Ok(seal)
        })
    }

    /// Opens a range of an object that has this size; [`Error::Missing`] where it is not there or has another size.
    pub async fn read(
        &self,
        key: &str,
        (size_bytes, sha256): (u64, &str),
        range: std::ops::Range<u64>,
    ) -> Result<Chunks, Error> {
        self.is_ours()?;
        let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let path = Path::from(key);
        let whole = range.end - range.start == size_bytes;
        let options = GetOptions { range: (!whole).then_some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found =
            self.run(move |backend| in_time_owned(async move { backend.get_opts(&path, options).await })).await?;
        if found.meta.size != size_bytes {
            log::error!("the object {key} has {} bytes and not {size_bytes}", found.meta.size);
            return Err(Error::Missing);
        }
        let sha256 = whole.then(|| sha256.to_owned());
        self.open()?.handle.spawn(send::pump(found.into_stream(), sha256, chunks));
        Ok(Chunks(waiting))
    }

    /// Deletes an object; one that is not there is deleted.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let path = Path::from(key);
        self.run(move |backend| delete(backend, path)).await
    }

    /// The same for a thread that may wait.
    pub fn delete_blocking(&self, key: &str) -> Result<(), Error> {
        let path = Path::from(key);
        self.run_blocking(move |backend| delete(backend, path))
    }

    /// The SHA-256 of an object, in hexadecimal.
    pub async fn sha256(&self, key: &str) -> Result<String, Error> {
        self.is_ours()?;
        let path = Path::from(key);
        self.run(move |backend| send::sha256(backend, path)).await
    }

    /// The same for a thread that may wait.
    pub fn sha256_blocking(&self, key: &str) -> Result<String, Error> {
        let path = Path::from(key);
        self.run_blocking(move |backend| send::sha256(backend, path))
    }

    /// A range of an object, for a thread that may wait: whole in memory.
    pub fn part_blocking(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        self.is_ours()?;
        let path = Path::from(key);
        self.run_blocking(move |backend| in_time_owned(async move { backend.get_range(&path, range).await }))
    }

    /// The size of an object, for a thread that may wait; [`Error::Missing`] where it is not there.
    pub fn size_blocking(&self, key: &str) -> Result<u64, Error> {
        if matches!(&self.0.place, Place::Folder(path) if !path.exists()) {
            return Err(Error::Missing);
        }
        let path = Path::from(key);
        self.run_blocking(move |backend| in_time_owned(async move { Ok(backend.head(&path).await?.size) }))
    }

    /// Says whose the store is, or learns that it is somebody else's: two installations in one store would take each
    /// other's documents for left over. From somebody else's nothing is read and nothing is written to it from then on.
    /// Of two that say it at the same time one is the owner.
    pub fn claim_blocking(&self, installation: &str) -> Result<(), Error> {
        let wanted = Bytes::from(installation.to_owned());
        let owner = self.run_blocking(move |backend| async move {
            let path = Path::from(OWNER);
            let read = || in_time(async { backend.get(&path).await?.bytes().await });
            match read().await {
                Err(Error::Missing) => {}
                read => return read,
            }
            let put = |mode: PutMode| {
                let put = backend.put_opts(&path, wanted.clone().into(), mode.into());
                tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), put)
            };
            let late = |_| Error::Away(format!("no answer within {ANSWER_MS_MAX} ms"));
            match put(PutMode::Create).await.map_err(late)? {
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                // A bucket that cannot do that keeps the last word: it is read again.
                Err(object_store::Error::NotImplemented { .. }) => {
                    put(PutMode::Overwrite).await.map_err(late)?.map_err(Error::of_write)?;
                }
                Err(error) => return Err(Error::of_write(error)),
            }
            read().await
        })?;
        let foreign = (owner != installation.as_bytes())
            .then(|| String::from_utf8_lossy(&owner).chars().take(100).collect::<String>());
        match self.0.owner.get_or_init(|| foreign.clone()) {
            // A value of before: what was ours may have been taken over since.
            None if foreign.is_none() => Ok(()),
            known => Err(Error::Foreign(foreign.or_else(|| known.clone()).unwrap_or_default())),
        }
    }

    /// Every object under a key of [`fresh_key`], in portions and in no order, for a thread that may wait. What else is
    /// in the place is somebody else's, and never told. A folder that is not there is empty.
    pub fn list_blocking(&self) -> Result<Objects, Error> {
        let (portions, waiting) = mpsc::channel(1);
        if let Place::Folder(path) = &self.0.place
            && !path.exists()
        {
            return Ok(Objects(waiting));
        }
        let opened = self.open()?;
        let backend = Arc::clone(&opened.backend);
        // In a folder there may be others that nobody may look into, such as `lost+found`.
        let beginnings: Vec<Option<Path>> = match &self.0.place {
            Place::Folder(_) => (0..=u8::MAX).map(|shard| Some(Path::from(format!("{shard:02x}")))).collect(),
            Place::Bucket { .. } => vec![None],
        };
        opened.handle.spawn(async move {
            let listed: Vec<_> = beginnings.iter().map(|beginning| backend.list(beginning.as_ref())).collect();
            let mut listed = stream::iter(listed).flatten().chunks(OBJECTS_PER_PORTION);
            loop {
                let next = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), listed.next()).await;
                let portion = match next {
                    Ok(None) => return,
                    Ok(Some(portion)) => portion.into_iter().collect::<Result<Vec<_>, _>>().map_err(Error::from),
                    Err(_) => Err(Error::Away(format!("no answer within {ANSWER_MS_MAX} ms"))),
                };
                let last = portion.is_err();
                let told = portion.map(|objects| {
                    let ours = objects.into_iter().filter(|object| is_key(object.location.as_ref()));
                    ours.map(|object| Object {
                        key: object.location.to_string(),
                        size_bytes: object.size,
                        stored_at: object.last_modified,
                    })
                    .collect()
                });
                if portions.send(told).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Objects(waiting))
    }

    /// Files in which a process that was killed began an object, and that nobody has written to since an instant. A
    /// bucket keeps such beginnings to itself: a rule of its own ends them.
    pub fn unfinished(&self, untouched_since: SystemTime) -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let Place::Folder(root) = &self.0.place else {
            return Ok(found);
        };
        if !root.exists() {
            return Ok(found);
        }
        for shard in (0..=u8::MAX).map(|shard| format!("{shard:02x}")) {
            let files = match std::fs::read_dir(root.join(&shard)) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                files => files?,
            };
            for file in files {
                let file = file?;
                let name = file.file_name();
                // What is being written is named `KEY#1`.
                let begun = name.to_str().and_then(|name| name.split_once('#'));
                let ours = begun.is_some_and(|(id, count)| {
                    is_key(&format!("{shard}/{id}")) && count.bytes().all(|byte| byte.is_ascii_digit())
                });
                // One that goes away meanwhile was finished.
                let touched = file.metadata().and_then(|metadata| metadata.modified());
                if ours && touched.is_ok_and(|touched| touched <= untouched_since) {
                    found.push(file.path());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

async fn in_time_owned<T>(answer: impl Future<Output = object_store::Result<T>> + Send) -> Result<T, Error> {
    in_time(answer).await
}

async fn delete(backend: Arc<dyn ObjectStore>, path: Path) -> Result<(), Error> {
    match in_time(backend.delete(&path)).await {
        Err(Error::Missing) => Ok(()),
        result => result,
    }
}

/// A folder that its owner alone may look into.
fn folder(path: &FilePath) -> Result<LocalFileSystem, Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let away = |error: std::io::Error| Error::Away(format!("{}: {error}", path.display()));
    if !path.exists() {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(away)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(away(error)),
            _ => {}
        }
    }
    Ok(LocalFileSystem::new_with_prefix(path)?.with_fsync(true))
}

fn bucket(name: &str, options: &[(String, String)], io: Handle) -> Result<impl ObjectStore + use<>, Error> {
    // TLS by ring. Another provider that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientOptions::new()
        .with_connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
        // A download takes as long as its reader does; every wait for the store has its end here.
        .with_timeout_disabled();
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: Duration::from_millis(RETRY_MS_MAX),
        ..RetryConfig::default()
    };
    // The options come last but for what is ours: they may allow plain HTTP, for a service beside this one.
    let mut builder = AmazonS3Builder::new().with_client_options(client);
    for (key, value) in options {
        if let Ok(key) = key.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let builder =
        builder.with_bucket_name(name).with_retry(retry).with_http_connector(SpawnedReqwestConnector::new(io));
    Ok(builder.build()?)
}

/// The content of an object, chunk by chunk.
pub struct Chunks(mpsc::Receiver<Result<Bytes, Error>>);

impl futures_util::Stream for Chunks {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.get_mut().0.poll_recv(context)
    }
}

/// Objects, portion by portion.
pub struct Objects(mpsc::Receiver<Result<Vec<Object>, Error>>);

impl Iterator for Objects {
    type Item = Result<Vec<Object>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.blocking_recv()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_folder_or_a_bucket_and_nothing_else() {
        let folder = |path: &str| Place::Folder(PathBuf::from(path));
        let bucket = |name: &str, prefix: &str| Place::Bucket { name: name.into(), prefix: prefix.into() };
        assert_eq!(Place::parse("file:///srv/files").unwrap(), folder("/srv/files"));
        assert_eq!(Place::parse("file:files").unwrap(), folder("files"));
        assert_eq!(Place::parse("s3://files").unwrap(), bucket("files", ""));
        assert_eq!(Place::parse("s3://files/a/b/").unwrap(), bucket("files", "a/b"));
        for bad in [
            "",
            "files",
            "/srv/files",
            "file:",
            "file://host/x",
            "s3://",
            "s3://ab",
            "s3://Files",
            "s3://u:p@files",
            "s3://files/../x",
            "s3://files/a//b",
            "s3://files/a?b",
            "http://files",
        ] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_the_shape_of_one_and_lies_in_its_shard() {
        let key = fresh_key(Uuid::now_v7());
        assert!(is_key(&key));
        let id = &key[3..];
        for other in [
            "",
            "installation",
            "ab/notes.txt",
            id,
            &format!("{id}/{id}"),
            &key.to_ascii_uppercase(),
            &format!("{key}x"),
            &format!("a/{key}"),
            &format!("zz/{id}"),
            // Of another making, such as a digest.
            "00/d41d8cd98f00b204e9800998ecf84200",
        ] {
            assert!(!is_key(other), "{other}");
        }
    }

    #[test]
    fn what_is_written_down_of_a_place_is_read_again() {
        for text in ["file:/srv/files", "file:files", "s3://files", "s3://files/a/b"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }
}
