//! What of a program has to travel: all that is loaded when it runs. Its symbols stay here.
//!
//! Deliberately absent: moving anything. The copy is the file up to where the last loaded part ends, and says in its
//! header that it has no sections; so each function stays where it is. What is not loaded but lies before that stays too.

use crate::elf::Elf;
use std::{fs::File, io, os::unix::fs::FileExt};

/// The program's bytes: all, if that was asked for; else what is loaded.
pub fn copy(file: &File, elf: &Elf, is_whole: bool) -> io::Result<Vec<u8>> {
    let file_len = file.metadata()?.len();
    // Some programs carry files of their own behind all that their tables speak of, and read them from there.
    let has_load = file_len > elf.end;
    let is_whole = is_whole || has_load;
    let len = if is_whole { file_len } else { elf.loaded_len };
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    if !is_whole {
        for field in SECTIONS {
            bytes[field].fill(0);
        }
    }
    Ok(bytes)
}

/// Where the header says where the sections are, how many, and which of them holds their names.
const SECTIONS: [std::ops::Range<usize>; 3] = [40..48, 60..62, 62..64];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf;
    use std::{
        env,
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
        process::Command,
    };

    #[test]
    fn what_travels_is_less_and_runs() {
        let own = File::open(env::current_exe().unwrap()).unwrap();
        let elf = elf::read(&own).unwrap();
        let bytes = copy(&own, &elf, false).unwrap();
        assert!((bytes.len() as u64) < own.metadata().unwrap().len());
        let path = env::temp_dir().join(format!("strip-{}", std::process::id()));
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let again = elf::read(&File::open(&path).unwrap()).unwrap();
        let listed = Command::new(&path).arg("--list").output();
        fs::remove_file(&path).unwrap();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        assert!(listed.contains("what_travels_is_less_and_runs"), "{listed}");
        assert_eq!((again.glibc, again.end), (elf.glibc, elf.loaded_len));
    }

    #[test]
    fn what_a_program_carries_behind_it_travels_too() {
        let mut bytes = fs::read(env::current_exe().unwrap()).unwrap();
        bytes.extend(b"a file of its own");
        let file = deploy_sys::memfd::sealed("carrier", &bytes).unwrap();
        let elf = elf::read(&file).unwrap();
        assert!(copy(&file, &elf, false).unwrap() == bytes);
    }
}
