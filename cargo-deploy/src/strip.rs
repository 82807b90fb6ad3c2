//! What of a program has to travel: all that is loaded when it runs. Its symbols stay here.
//!
//! Deliberately absent: moving anything. The copy is the file up to where the last loaded part ends, and says in its
//! header that it has no sections; so each function stays where it is. What is not loaded but lies before that stays too.

use crate::{content::Content, elf::Elf};
use std::{fs::File, io, os::unix::fs::FileExt};

/// The program: all of its file, if that was asked for; else what is loaded.
pub fn copy(file: File, elf: &Elf, is_whole: bool) -> io::Result<Content> {
    let file_len = file.metadata()?.len();
    // Some programs carry files of their own behind all that their tables speak of, and read them from there.
    let has_load = file_len > elf.end;
    if is_whole || has_load {
        return Ok(Content::File {
            file,
            len: file_len,
            beginning: Vec::new(),
        });
    }
    let mut beginning = vec![0; HEADER_BYTES];
    file.read_exact_at(&mut beginning, 0)?;
    for field in SECTIONS {
        beginning[field].fill(0);
    }
    Ok(Content::File {
        file,
        len: elf.loaded_len,
        beginning,
    })
}

const HEADER_BYTES: usize = 64;
/// Where the header says where the sections are, how many, and which of them holds their names.
const SECTIONS: [std::ops::Range<usize>; 3] = [40..48, 60..62, 62..64];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf;
    use std::{
        env,
        fs::{self, Permissions},
        io::Read,
        os::unix::fs::PermissionsExt,
        process::Command,
    };

    #[test]
    fn what_travels_is_less_and_runs() {
        let own = File::open(env::current_exe().unwrap()).unwrap();
        let elf = elf::read(&own).unwrap();
        let own_len = own.metadata().unwrap().len();
        let bytes = read(&copy(own, &elf, false).unwrap());
        assert!((bytes.len() as u64) < own_len);
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
        assert!(read(&copy(file, &elf, false).unwrap()) == bytes);
    }

    fn read(content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        content.from(0).stream().read_to_end(&mut bytes).unwrap();
        bytes
    }
}
