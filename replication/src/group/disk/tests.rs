//! Files that were cut, damaged, or written to by a process that was killed.

use super::*;
use proptest::prelude::*;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn records(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("record {number}").repeat(number as usize).into()).collect()
}

/// A file with the records, and where each begins.
fn written(folder: &Path, records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let disk = FileDisk::open(folder).unwrap();
    let mut places = Vec::new();
    for record in records {
        let length = fs::metadata(folder.join("log")).map_or(0, |file| file.len() as usize);
        places.push(length.max(MAGIC.len()));
        disk.append("log", record).unwrap();
    }
    (fs::read(folder.join("log")).unwrap(), places)
}

fn read_back(folder: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    fs::write(folder.join("log"), bytes).unwrap();
    FileDisk::open(folder).unwrap().read("log")
}

#[test]
fn records_are_read_as_they_were_written() {
    let folder = folder();
    let disk = FileDisk::open(folder.path()).unwrap();
    assert_eq!(disk.read("log").unwrap(), Vec::<Vec<u8>>::new());
    for record in records(20) {
        disk.append("log", &record).unwrap();
    }
    assert_eq!(disk.read("log").unwrap(), records(20));
    disk.replace("vote", b"1").unwrap();
    disk.replace("vote", b"2").unwrap();
    disk.append("vote", b"3").unwrap();
    drop(disk);
    let disk = FileDisk::open(folder.path()).unwrap();
    assert_eq!(disk.read("log").unwrap(), records(20));
    assert_eq!(disk.read("vote").unwrap(), [b"2", b"3"]);
    disk.replace("log", b"").unwrap();
    disk.append("log", b"x").unwrap();
    assert_eq!(disk.read("log").unwrap(), [&b""[..], b"x"]);
    disk.remove("log").unwrap();
    disk.remove("log").unwrap();
    assert_eq!(disk.read("log").unwrap(), Vec::<Vec<u8>>::new());
    disk.append("log", b"y").unwrap();
    assert_eq!(disk.read("log").unwrap(), [b"y"]);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let folder = folder();
    let all = records(8);
    let (bytes, places) = written(folder.path(), &all);
    for length in 0..bytes.len() {
        let whole = places.iter().skip(1).filter(|place| **place <= length).count();
        assert_eq!(read_back(folder.path(), &bytes[..length]).unwrap(), all[..whole], "{length}");
        // What is appended then stands behind what is whole.
        let disk = FileDisk::open(folder.path()).unwrap();
        disk.append("log", b"next").unwrap();
        let mut expected = all[..whole].to_vec();
        expected.push(b"next".to_vec());
        assert_eq!(disk.read("log").unwrap(), expected);
    }
}

#[test]
fn a_tail_with_sectors_that_were_never_written_is_torn() {
    let folder = folder();
    let mut all = records(4);
    all.push(vec![7; 3_000]);
    let (bytes, places) = written(folder.path(), &all);
    for hole in 0..bytes.len() / SECTOR_BYTES {
        let range = (hole * SECTOR_BYTES).max(places[4])..(hole + 1) * SECTOR_BYTES;
        let mut torn = bytes.clone();
        torn[range].fill(0);
        assert_eq!(read_back(folder.path(), &torn).unwrap(), all[..4], "{hole}");
    }
    let mut torn = bytes;
    torn[places[4]..].fill(0);
    assert_eq!(read_back(folder.path(), &torn).unwrap(), all[..4]);
    assert_eq!(read_back(folder.path(), &[0; 5_000]).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn damage_is_an_error_that_says_where() {
    let folder = folder();
    let all = records(8);
    let (bytes, places) = written(folder.path(), &all);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let expected = match places.iter().rposition(|place| *place <= at) {
            Some(record) => places[record],
            None => 0,
        };
        match read_back(folder.path(), &damaged) {
            Err(DiskError::Damaged { offset, .. }) => assert_eq!(offset, expected as u64, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
        let disk = FileDisk::open(folder.path()).unwrap();
        let refused = disk.append("log", b"next");
        assert!(matches!(refused, Err(DiskError::Damaged { .. })), "{at}: {refused:?}");
    }
    // A hole in the middle is damage: whole records follow it.
    let long: Vec<Vec<u8>> = (0..4).map(|number| vec![number + 1; 1_000]).collect();
    fs::remove_file(folder.path().join("log")).unwrap();
    let (mut damaged, places) = written(folder.path(), &long);
    damaged[places[1]..places[2]].fill(0);
    let read = read_back(folder.path(), &damaged);
    assert!(matches!(read, Err(DiskError::Damaged { offset, .. }) if offset == places[1] as u64));
    // So is a record that stands in another one's place.
    let swapped = [&damaged[..places[0]], &damaged[places[2]..]].concat();
    assert!(matches!(read_back(folder.path(), &swapped), Err(DiskError::Damaged { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        is_named in any::<bool>(),
    ) {
        let bytes = if is_named { [MAGIC, &bytes[..]].concat() } else { bytes };
        if let Ok((records, whole)) = decode(&bytes) {
            prop_assert!(records.is_empty() && whole == 0, "{records:?}");
        }
    }
}

#[test]
fn a_folder_is_one_processs() {
    let folder = folder();
    let disk = FileDisk::open(folder.path()).unwrap();
    assert!(matches!(FileDisk::open(folder.path()), Err(DiskError::Locked(_))));
    drop(disk);
    FileDisk::open(folder.path()).unwrap();
}

#[test]
fn names_are_plain() {
    let folder = folder();
    let disk = FileDisk::open(folder.path()).unwrap();
    for name in ["", "../x", "a/b", ".hidden", "lock", "a.new", "a b"] {
        assert!(matches!(disk.read(name), Err(DiskError::Name(_))), "{name}");
        assert!(matches!(disk.replace(name, b""), Err(DiskError::Name(_))), "{name}");
    }
}

#[test]
fn what_a_replacement_left_behind_is_swept() {
    let folder = folder();
    let disk = FileDisk::open(folder.path()).unwrap();
    disk.replace("vote", b"1").unwrap();
    fs::write(folder.path().join("vote.new"), b"half").unwrap();
    drop(disk);
    let disk = FileDisk::open(folder.path()).unwrap();
    assert!(!folder.path().join("vote.new").exists());
    assert_eq!(disk.read("vote").unwrap(), [b"1"]);
}

#[test]
fn a_failed_write_is_told_and_an_unknown_state_stops_the_disk() {
    let folder = folder();
    let disk = FileDisk::open(folder.path()).unwrap();
    disk.replace("vote", b"1").unwrap();
    // A device that is always full, and cannot be cut.
    std::os::unix::fs::symlink("/dev/full", folder.path().join("log")).unwrap();
    let full = File::options().append(true).open("/dev/full").unwrap();
    disk.state.lock().open.insert("log".into(), (full, 0));
    let refused = disk.append("log", b"x");
    let is_full = |error: &io::Error| error.kind() == ErrorKind::StorageFull;
    assert!(
        matches!(&refused, Err(DiskError::Io { source, .. }) if is_full(source)),
        "{refused:?}"
    );
    assert!(matches!(disk.read("vote"), Err(DiskError::Broken(_))));
    assert!(matches!(disk.replace("vote", b"2"), Err(DiskError::Broken(_))));
}

/// The tests that start this test again find the folder here.
const CHILD: &str = "LARDER_DISK_TEST_FOLDER";

/// Starts one test of this program again, as a process of its own that works in `folder`.
fn child(test: &str, folder: &Path, shell: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(program)
        .args([&format!("group::disk::tests::{test}"), "--exact", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[test]
fn what_was_confirmed_survives_a_kill() {
    let number = |record: &[u8]| -> u32 { String::from_utf8_lossy(record).trim().parse().unwrap() };
    if let Some(folder) = std::env::var_os(CHILD) {
        let disk = FileDisk::open(Path::new(&folder)).unwrap();
        let last = disk.read("log").unwrap().last().map_or(0, |record| number(record));
        for next in last + 1.. {
            let width = (next as usize * 37) % 2_000;
            let record = format!("{next:>width$}");
            disk.append("log", record.as_bytes()).unwrap();
            disk.replace("vote", record.as_bytes()).unwrap();
            println!("confirmed {next}");
        }
    }
    let folder = folder();
    let mut confirmed = 0;
    for round in 0..10_u64 {
        let mut process =
            child("what_was_confirmed_survives_a_kill", folder.path(), "").spawn().unwrap();
        thread::sleep(Duration::from_millis(150 + 23 * round));
        process.kill().unwrap();
        let said = process.wait_with_output().unwrap().stdout;
        for line in String::from_utf8_lossy(&said).lines() {
            let told = line.split_once("confirmed ").and_then(|(_, rest)| rest.parse().ok());
            confirmed = told.unwrap_or(confirmed).max(confirmed);
        }
        let disk = FileDisk::open(folder.path()).unwrap();
        let log: Vec<u32> = disk.read("log").unwrap().iter().map(|record| number(record)).collect();
        let held = log.len() as u32;
        assert!(log.iter().copied().eq(1..=held), "round {round}: {log:?}");
        // One more may be there that was not confirmed any more.
        assert!(held == confirmed || held == confirmed + 1, "round {round}: {held}, {confirmed}");
        let vote = disk.read("vote").unwrap();
        let voted = vote.first().map_or(0, |record| number(record));
        assert!(voted == held || voted + 1 == held, "round {round}: {voted}, {held}");
        confirmed = held;
    }
    assert!(confirmed > 10, "{confirmed}");
}

#[test]
fn a_file_that_may_not_grow_keeps_what_it_holds() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let disk = FileDisk::open(Path::new(&folder)).unwrap();
        disk.replace("vote", b"1").unwrap();
        let mut held = 0;
        while disk.append("log", &[held; 700]).is_ok() {
            held += 1;
        }
        assert!(disk.replace("vote", &[0; 8_192]).is_err());
        assert_eq!(disk.read("vote").unwrap(), [b"1"]);
        assert_eq!(disk.read("log").unwrap().len(), usize::from(held));
        // A smaller one still fits.
        disk.append("log", b"x").unwrap();
        println!("held {held}");
        return;
    }
    let folder = folder();
    // Files of 4 KB at the most, and an error in place of a signal beyond that.
    let limited = "trap '' XFSZ; ulimit -f 8;";
    let said = child("a_file_that_may_not_grow_keeps_what_it_holds", folder.path(), limited)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("held 5"), "{text}");
    let disk = FileDisk::open(folder.path()).unwrap();
    assert_eq!(disk.read("log").unwrap().len(), 6);
}
