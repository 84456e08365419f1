//! The folder of a group that was given none: there is one for each node while the group lives, and
//! nothing of it is left in the folder in which the program runs.

use std::io;
use std::path::{Path, PathBuf};

/// A folder that goes with this.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one among the system's temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(group: &str) -> io::Result<Self> {
        let name = format!("larder-{group}-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays among the system's temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn it_goes_with_what_is_in_it() {
        let scratch = Scratch::make("s").expect("a temporary folder");
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), "text").expect("it is there");
        drop(scratch);
        assert!(!path.exists());
    }
}
