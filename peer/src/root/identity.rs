//! The peer's key on disk: made at first start, readable by its owner alone, never replaced.

use super::lock::write_private;
use crate::error::Failure;
use p2p_shared::crypto::identity::Identity;
use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

/// The key's file in the data folder: 64 hexadecimal digits and a newline.
const FILE_NAME: &str = "identity";

/// The peer's identity, made if there is none. Refused if others can read it: they could act in this peer's name.
///
/// Two processes that make one at the same time: the first that names the file wins, the other one uses it.
pub fn load_or_create(data: &Path) -> Result<Identity, Failure> {
    let path = data.join(FILE_NAME);
    match read(&path)? {
        Some(identity) => Ok(identity),
        None => create(data, &path),
    }
}

fn read(path: &Path) -> Result<Option<Identity>, Failure> {
    let failed = |error: io::Error| Failure::io("read the identity", path, &error);
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::disk(format!(
            "{} can be used by others (mode {:03o}), who could then act in this peer's name; `chmod 600` it, or \
             remove it for a new identity",
            path.display(),
            mode & 0o777
        )));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.by_ref().take(80).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map(Some).ok_or_else(|| {
        Failure::disk(format!(
            "{} is damaged: it does not hold 64 hexadecimal digits; put it back from a copy, or remove it for a new identity",
            path.display()
        ))
    })
}

fn parse(text: &str) -> Option<Identity> {
    let mut secret = zeroize::Zeroizing::new([0; 32]);
    let digits = text.trim_end().as_bytes();
    if digits.len() != 64 {
        return None;
    }
    data_encoding::HEXLOWER.decode_mut(digits, &mut *secret).ok()?;
    Some(Identity::from_secret(*secret))
}

fn create(data: &Path, path: &Path) -> Result<Identity, Failure> {
    let failed = |error: io::Error| Failure::io("write the identity", path, &error);
    let identity = Identity::generate()
        .map_err(|error| Failure::internal(format!("cannot make an identity: {error}")))?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(failed)?;
    let text = zeroize::Zeroizing::new(format!(
        "{}\n",
        data_encoding::HEXLOWER.encode(&*identity.secret_bytes())
    ));
    // Under a name of this process first: `id` runs without the lock on the folder.
    let own = data.join(format!("{FILE_NAME}.{}", std::process::id()));
    write_private(&own, text.as_bytes()).map_err(failed)?;
    let linked = fs::hard_link(&own, path);
    fs::remove_file(&own).map_err(failed)?;
    match linked {
        Ok(()) => Ok(identity),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| Failure::disk(format!("{} came and went", path.display())))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_made_once_and_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = load_or_create(&data).unwrap().public_key();
        assert_eq!(load_or_create(&data).unwrap().public_key(), first);
        let mode = fs::metadata(data.join("identity")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&data).unwrap().count(),
            1,
            "nothing else is left behind"
        );
    }

    #[test]
    fn an_identity_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        load_or_create(folder.path()).unwrap();
        let path = folder.path().join("identity");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = load_or_create(folder.path()).unwrap_err();
        assert_eq!(failure.exit_code(), 7);
        assert!(
            failure.message.contains("mode 640") && failure.message.contains("chmod 600"),
            "{failure}"
        );
    }

    #[test]
    fn a_damaged_identity_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        write_private(&path, b"not a key\n").unwrap();
        let failure = load_or_create(folder.path()).unwrap_err();
        assert!(failure.message.contains("damaged"), "{failure}");
        assert_eq!(fs::read(&path).unwrap(), b"not a key\n");
    }
}
