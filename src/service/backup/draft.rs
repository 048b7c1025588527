//! A file that has its name only once it is whole and on the disk.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::{Result, at, refused};

/// What SQLite puts beside a database.
pub const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The path with something behind its name.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// True where both are the same file, or would be.
pub fn same_place(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        path.canonicalize()
            .or_else(|_| folder_of(path).canonicalize().map(|folder| folder.join(path.file_name().unwrap_or_default())))
    };
    matches!((whole(one), whole(other)), (Ok(one), Ok(other)) if one == other)
}

/// A file under a name that nobody looks for. It goes away where it is not published.
pub struct Draft {
    path: PathBuf,
}

impl Draft {
    /// An empty file for its owner alone, beside the one that it is to be.
    pub fn beside(file: &Path) -> Result<Self> {
        let Some(name) = file.file_name() else {
            return refused(format!("{} is no name for a file", file.display()));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}.part", rand::random::<u64>()));
        let path = folder_of(file).join(hidden);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        options.open(&path).map_err(at(file))?;
        Ok(Self { path })
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it on the disk and gives it its name; without `replace`, only where nobody has the name.
    pub fn publish(self, file: &Path, replace: bool) -> Result<u64> {
        let written = File::open(&self.path).map_err(at(&self.path))?;
        written.sync_all().map_err(at(&self.path))?;
        let bytes = written.metadata().map_err(at(&self.path))?.len();
        if replace {
            std::fs::rename(&self.path, file).map_err(at(file))?;
        } else {
            // A rename would take the name from somebody who was first; a second name never does. The draft's own
            // name goes away with it. Where files have but one name, nobody had it when we looked.
            match std::fs::hard_link(&self.path, file) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists && !file.exists() => {
                    std::fs::rename(&self.path, file).map_err(at(file))?;
                }
                linked => linked.map_err(at(file))?,
            }
        }
        sync_folder(file)?;
        Ok(bytes)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        for ending in BESIDE {
            let _ = std::fs::remove_file(with_ending(&self.path, ending));
        }
    }
}

/// Puts the names in a file's folder on the disk.
pub fn sync_folder(file: &Path) -> Result<()> {
    let folder = folder_of(file);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
