//! Tests of the log: order, transactions, readers, histories.

use super::*;

struct Keep(Arc<Mutex<Vec<u8>>>);

impl Sink for Keep {
    fn append(&mut self, offset: u64, bytes: &[u8], _: FrameKind) -> bool {
        let mut kept = self.0.lock();
        assert_eq!(
            (kept.len() + bytes.len()) as u64,
            offset,
            "a sink that was there from the start misses nothing"
        );
        kept.extend_from_slice(bytes);
        kept.len() < 150
    }
}

fn frames(all: &[(usize, &[u8])]) -> Frames {
    let mut frames = Frames::default();
    for (db, frame) in all {
        frames.push_encoded(*db, frame);
    }
    frames
}

fn read(log: &EffectLog, reader: &Reader) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let take = |piece: Piece<'_>| bytes.extend_from_slice(piece.as_slice());
    log.read(reader, usize::MAX, take).then_some(bytes)
}

const SELECT_0: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";

#[test]
fn frames_are_appended_in_order_behind_their_database() {
    let log = EffectLog::default();
    let kept = Arc::default();
    assert!(!log.is_read());
    log.subscribe(Box::new(Keep(Arc::clone(&kept))));
    assert!(log.is_read());
    log.append(&frames(&[(0, b"a"), (0, b"b"), (2, b"c")]), false);
    let expected: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\nab*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\nc";
    assert_eq!(kept.lock().as_slice(), expected);
    assert_eq!(log.offset(), expected.len() as u64);
    log.append_frame(2, b"d");
    assert!(kept.lock().ends_with(b"cd"));
    assert_eq!(log.position().db, Some(2));
}

#[test]
fn frames_that_belong_together_are_a_transaction() {
    let log = EffectLog::default();
    let kept = Arc::default();
    log.subscribe(Box::new(Keep(Arc::clone(&kept))));
    log.append(&frames(&[(0, b"a"), (1, b"b")]), true);
    let expected: &[u8] = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\na\
        *2\r\n$6\r\nSELECT\r\n$1\r\n1\r\nb*1\r\n$4\r\nEXEC\r\n";
    assert_eq!(kept.lock().as_slice(), expected);
    log.append(&frames(&[(1, b"c")]), true);
    assert!(kept.lock().ends_with(b"EXEC\r\nc"), "one alone needs no frame");
}

#[test]
fn a_sink_that_ends_is_forgotten() {
    let log = EffectLog::default();
    log.subscribe(Box::new(Keep(Arc::default())));
    log.append_frame(0, &[b'x'; 200]);
    assert!(!log.is_read());
}

#[test]
fn readers_see_everything_from_where_they_began() {
    let log = EffectLog::default();
    let (position, first) = log.attach(1 << 20);
    assert_eq!((position.offset, position.db), (0, None));
    log.append_frame(0, b"a");
    let (position, second) = log.attach(1 << 20);
    assert_eq!(position.offset, SELECT_0.len() as u64 + 1);
    log.append_frame(0, b"b");
    assert_eq!(read(&log, &second), Some([SELECT_0, b"b"].concat()));
    assert_eq!(read(&log, &first), Some([SELECT_0, b"a", SELECT_0, b"b"].concat()));
    assert_eq!(read(&log, &first), Some(Vec::new()));
    let request = Request { replid: position.replid.as_str().as_bytes(), offset: 24 };
    let third = log.resume(request).expect("the backlog has it");
    assert_eq!(read(&log, &third), Some([b"a", SELECT_0, b"b"].concat()));
    log.detach(&third);
    assert_eq!((log.readers(), read(&log, &third)), (2, None));
}

#[test]
fn a_reader_that_is_too_slow_is_cut_and_costs_nothing_more() {
    let log = EffectLog::default();
    let (_, slow) = log.attach(32 * 1024);
    let (_, fast) = log.attach(32 * 1024);
    slow.set_limit(100_000);
    for _ in 0..1000 {
        log.append_frame(0, &[b'x'; 1000]);
        assert!(read(&log, &fast).is_some());
    }
    assert!(slow.is_cut() && !fast.is_cut());
    assert_eq!(read(&log, &slow), None);
    let kept = log.backlog().expect("there is one");
    assert!(kept.end - kept.start < 40_000 && kept.memory_bytes < 50_000, "{kept:?}");
}

#[test]
fn a_promotion_keeps_the_backlog_for_those_of_the_former_history() {
    let log = EffectLog::default();
    let primary = ReplicationId::random();
    log.adopt(primary, 1000, 1 << 20);
    log.set_follows(true);
    log.append_raw(b"from above", FrameKind::Effect, 3);
    log.append_control(&[b"PING"]);
    assert!(!log.is_read(), "it has nothing to say itself");
    assert_eq!((log.offset(), log.position().db), (1010, Some(3)));
    let former = log.replid();
    assert_eq!(former, primary);
    log.shift_ids();
    assert!(log.is_read());
    assert_eq!(log.history().former, Some((primary, 1011)));
    log.append_frame(0, b"own");
    let request = |offset| Request { replid: former.as_str().as_bytes(), offset };
    let reader = log.resume(request(1006)).expect("it shares the history up to 1010");
    assert_eq!(read(&log, &reader), Some([b"above", SELECT_0, b"own"].concat()));
    assert_eq!(log.resume(request(1012)).map(|_| ()), Err(psync::Reason::BeyondFork));
}

#[test]
fn another_history_cuts_all_readers() {
    let log = EffectLog::default();
    let (_, reader) = log.attach(1 << 20);
    log.continue_as(log.replid());
    assert!(!reader.is_cut(), "it is the same");
    log.set_follows(true);
    log.append_raw(b"of the primary", FrameKind::Effect, 7);
    log.continue_as(ReplicationId::random());
    assert!(reader.is_cut());
    let (position, reader) = log.attach(1 << 20);
    assert_eq!(position.db, Some(7), "the stream goes on where it was");
    log.adopt(ReplicationId::random(), 5, 1 << 20);
    assert!(reader.is_cut());
    assert_eq!((log.offset(), log.readers()), (5, 0));
}

#[test]
fn a_backlog_that_nobody_needs_can_go_and_takes_its_history_along() {
    let log = EffectLog::default();
    let (position, reader) = log.attach(1 << 20);
    log.drop_backlog();
    assert!(log.is_read(), "somebody reads");
    log.detach(&reader);
    assert!(log.is_read());
    log.drop_backlog();
    assert!(!log.is_read() && log.backlog().is_none());
    assert_ne!(log.replid(), position.replid);
}

#[test]
fn after_a_restart_those_who_have_all_of_it_go_on() {
    let (log, replid) = (EffectLog::default(), ReplicationId::random());
    log.restore(replid, 77, 1 << 20);
    assert_ne!(log.replid(), replid);
    let request = |offset| Request { replid: replid.as_str().as_bytes(), offset };
    assert!(log.resume(request(78)).is_ok());
    assert!(log.resume(request(77)).is_err() && log.resume(request(79)).is_err());
}

#[test]
fn control_frames_are_for_replicas() {
    let log = EffectLog::default();
    log.append_control(&[b"PING"]);
    assert_eq!(log.offset(), 0);
    let (_, reader) = log.attach(1 << 20);
    log.append_control(&[b"PING"]);
    assert_eq!(read(&log, &reader), Some(b"*1\r\n$4\r\nPING\r\n".to_vec()));
}
