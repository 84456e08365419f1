//! Connections from their two ends: as a task that is polled by hand over a stream that cuts bytes
//! as the test wants, and as a client of a running node.

use super::*;
use crate::acl::identity::Identity;
use crate::clock::Clock;
use crate::config::{DirectiveOptions, OutputBufferLimit, OutputBufferLimits, ProtectedAction};
use crate::node::clients::Peer;
use crate::scripting::tests::Effects;
use crate::{Builder, Node};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::task::Waker;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// How a scripted stream takes what is written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    All,
    /// This many bytes at a time, and only every second time.
    Slivers(usize),
    Nothing,
}

/// A stream that yields given chunks, then its end.
struct Script {
    chunks: VecDeque<Vec<u8>>,
    /// Given again and again instead of an end.
    endless: Option<Vec<u8>>,
    takes: Takes,
    refused: bool,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Script {
    fn new(chunks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            chunks: chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect(),
            endless: None,
            takes: Takes::All,
            refused: false,
            written: Rc::default(),
        }
    }

    fn taking(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    fn endless(chunk: Vec<u8>) -> Self {
        Self { endless: Some(chunk), ..Self::new([]) }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let next = self.chunks.pop_front().or_else(|| self.endless.clone());
        if let Some(mut chunk) = next {
            if chunk.len() > buffer.remaining() {
                let rest = chunk.split_off(buffer.remaining());
                self.chunks.push_front(rest);
            }
            buffer.put_slice(&chunk);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = match self.takes {
            Takes::All => bytes.len(),
            Takes::Slivers(count) if self.refused => count.min(bytes.len()),
            Takes::Slivers(_) => {
                self.refused = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Takes::Nothing => return Poll::Pending,
        };
        self.refused = false;
        self.written.borrow_mut().extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn node() -> Node {
    Node::builder().threads(1).start().unwrap()
}

/// A connection thread's shared part, on the test's own thread.
fn thread(node: &Node) -> Rc<Thread> {
    Rc::new(Thread::new(Executor::new(Arc::clone(node.shared())), Arc::default()))
}

fn session(node: &Node) -> Session {
    let shared = node.shared();
    let id = shared.clients.next_id();
    let client = Arc::new(Client::new(id, Peer::InProcess, -1, shared.clock.unix_ms()));
    Session::new(client, Identity::of_newcomer(&shared.acl.users))
}

/// Polls until the connection's task is done.
fn finish<S>(task: impl Future<Output = io::Result<Served<S>>>) -> Served<S> {
    let mut task = pin!(task);
    for _ in 0..10_000_000 {
        if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result.unwrap();
        }
    }
    panic!("the connection does not end");
}

/// What a fresh node answers to a script.
fn answers(script: Script) -> Vec<u8> {
    let node = node();
    let written = Rc::clone(&script.written);
    finish(serve(script, session(&node), &thread(&node)));
    written.take()
}

/// Commands in RESP.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A pipeline with everything in it that the parser knows, and replies of every kind.
fn pipeline() -> (Vec<u8>, Vec<u8>) {
    let requests = [
        request(&[b"SET", b"key", b"a\r\nb\0c"]),
        b"PING\r\n".to_vec(),
        request(&[b"GET", b"key"]),
        b"\r\n".to_vec(),
        b"set inline \"quoted value\"\n".to_vec(),
        b"*0\r\n".to_vec(),
        request(&[b"MGET", b"inline", b"missing"]),
        request(&[b"NOSUCH", b"argument"]),
        request(&[b"HELLO", b"3", b"SETNAME", b"me"]),
        request(&[b"GET", b"missing"]),
        request(&[b"STRLEN", b"key"]),
    ];
    let replies = [
        "+OK\r\n+PONG\r\n$6\r\na\r\nb\0c\r\n+OK\r\n*2\r\n$12\r\nquoted value\r\n$-1\r\n",
        "-ERR unknown command 'NOSUCH', with args beginning with: 'argument' \r\n",
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n",
        "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
        "$7\r\nmodules\r\n*0\r\n_\r\n:6\r\n",
    ];
    let version = crate::config::COMPATIBLE_REDIS_VERSION;
    let version = format!("${}\r\n{version}\r\n", version.len());
    (requests.concat(), replies.concat().replace("$5\r\n7.2.4\r\n", &version).into_bytes())
}

fn assert_same(found: &[u8], expected: &[u8], how: impl std::fmt::Debug) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(found), text(expected), "{how:?}");
}

#[test]
fn a_pipeline_may_be_cut_anywhere() {
    let (requests, replies) = pipeline();
    assert_same(&answers(Script::new([requests.clone()])), &replies, "whole");
    let single = requests.iter().map(|byte| vec![*byte]);
    assert_same(&answers(Script::new(single)), &replies, "byte by byte");
    for cut in 1..requests.len() {
        let (first, second) = requests.split_at(cut);
        let script = Script::new([first.to_vec(), second.to_vec()]);
        assert_same(&answers(script), &replies, cut);
    }
}

#[test]
fn a_command_that_never_ends_is_not_run() {
    let (requests, replies) = pipeline();
    for end in 0..requests.len() {
        let found = answers(Script::new([requests[..end].to_vec()]));
        assert!(replies.starts_with(&found), "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Values of every size, kept in every form, through chunks and slivers of any size.
    #[test]
    fn values_arrive_and_leave_whole(
        sizes in prop::collection::vec(
            prop_oneof![0..100_usize, 1000..1100_usize, 16_000..17_000_usize, Just(150_000)],
            1..8,
        ),
        chunk in prop_oneof![50..200_usize, 4000..100_000_usize],
        takes in prop_oneof![Just(Takes::All), (500..50_000_usize).prop_map(Takes::Slivers)],
    ) {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        for (number, size) in sizes.iter().enumerate() {
            let (key, value) = (number.to_string().into_bytes(), vec![b'a' + number as u8; *size]);
            requests.extend(request(&[b"SET", &key, &value]));
            requests.extend(request(&[b"GET", &key]));
            requests.extend(request(&[b"GETRANGE", &key, b"0", b"9"]));
            let short = &value[..value.len().min(10)];
            replies.extend_from_slice(b"+OK\r\n");
            for value in [&value, short] {
                replies.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                replies.extend_from_slice(value);
                replies.extend_from_slice(b"\r\n");
            }
        }
        // The last reply leaves before the end of the stream is read.
        requests.extend(request(&[b"QUIT"]));
        replies.extend_from_slice(b"+OK\r\n");
        let script = Script::new(requests.chunks(chunk).map(<[u8]>::to_vec)).taking(takes);
        prop_assert!(answers(script) == replies);
    }
}

#[test]
fn quit_is_the_last_command() {
    let node = node();
    let script = Script::new([b"SET a 1\r\nQUIT\r\nSET a 2\r\n".to_vec(), b"SET a 3\r\n".to_vec()]);
    let script = script.taking(Takes::Slivers(1));
    let written = Rc::clone(&script.written);
    finish(serve(script, session(&node), &thread(&node)));
    assert_same(&written.borrow(), b"+OK\r\n+OK\r\n", "quit");
    assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_protocol_error_ends_the_connection() {
    for (input, expected) in [
        ("*1\r\n+PING\r\nPING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n"),
        ("PING\r\n*x\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("set \"a\r\nPING\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        let found = answers(Script::new([input.as_bytes().to_vec(), b"PING\r\n".to_vec()]));
        assert_same(&found, expected.as_bytes(), input);
    }
}

#[test]
fn a_long_pipeline_lets_its_neighbours_run() {
    let node = node();
    let session = session(&node);
    let client = Arc::clone(&session.client);
    let script = Script::new([b"PING\r\n".repeat(5000)]);
    let written = Rc::clone(&script.written);
    let thread = thread(&node);
    let mut task = pin!(serve(script, session, &thread));
    let mut turns = 0;
    while task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        turns += 1;
        // What was just read gets a turn of its own before the first pause.
        assert!(client.commands.get() <= (turns + 1) * TURN_COMMANDS);
        // What was done is not kept back for the turns that follow; after the last one the
        // neighbours go first.
        let sent = written.borrow().len() as u64;
        assert!(sent == client.commands.get() * 7 || client.commands.get() == 5000);
    }
    assert!(turns >= 5000 / TURN_COMMANDS - 1);
    assert_eq!(client.commands.get(), 5000);
    assert_eq!(written.borrow().len(), 5000 * 7);
}

#[test]
fn replies_are_left_out_on_demand() {
    for (input, expected) in [
        ("CLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\nCLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n"),
        ("CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\n", "$1\r\na\r\n"),
        ("CLIENT REPLY SKIP\r\nNOSUCH\r\nECHO a\r\n", "$1\r\na\r\n"),
        ("CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO a\r\n", "$1\r\na\r\n"),
        ("CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n"),
        ("CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n", ""),
        ("CLIENT REPLY SKIP\r\nGET a\r\nGET a\r\n", "$-1\r\n"),
    ] {
        let found = answers(Script::new([input.as_bytes().to_vec()]));
        assert_same(&found, expected.as_bytes(), input);
    }
}

/// The limit on the output of ordinary clients.
fn output_limit(hard_bytes: u64) -> OutputBufferLimits {
    let limits = Node::builder().settings_mut().client_output_buffer_limit;
    OutputBufferLimits { normal: OutputBufferLimit::new(hard_bytes, 0, 0), ..limits }
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    for value_bytes in [10, 3000, 100_000] {
        let limits = output_limit(1 << 20);
        let node = Node::builder().threads(1).client_output_buffer_limit(limits).start().unwrap();
        node.local().set(b"key", &vec![b'v'; value_bytes]);
        let script = Script::endless(b"GET key\r\n".repeat(100)).taking(Takes::Nothing);
        let thread = thread(&node);
        finish(serve(script, session(&node), &thread));
        let stats = || node.shared().stats.totals();
        assert_eq!(stats().output_limit_disconnections, 1);
        // It got far enough to have filled its buffer, and no further.
        let ran = stats().commands_processed as usize;
        assert!(ran * (value_bytes + 10) < 3 << 20, "{ran} commands of {value_bytes} bytes");
        assert!(thread.output.borrow().bytes() <= KEPT_BYTES);
    }
}

/// What the output module lets a thread keep.
const KEPT_BYTES: usize = 1 << 20;

#[test]
fn output_that_is_read_slowly_takes_no_more_than_what_waits() {
    // A client that reads all the time and never catches up.
    let mut buffer = OutputBuffer::default();
    let mut script = Script::new([]).taking(Takes::Slivers(8000));
    let mut context = Context::from_waker(Waker::noop());
    use larder_protocol::encode::Output;
    for _ in 0..20_000 {
        while buffer.len() < 50_000 {
            buffer.put(&[b'x'; 10_000]);
        }
        let _ = buffer.poll_write(&mut script, &mut context);
        let _ = buffer.poll_write(&mut script, &mut context);
        script.written.borrow_mut().clear();
        assert!(!buffer.is_empty() && buffer.capacity() < 512 * 1024, "{}", buffer.capacity());
    }
}

#[test]
fn a_command_may_be_as_long_as_the_query_buffer() {
    let limit = 1 << 20;
    let node = Node::builder().threads(1).client_query_buffer_limit_bytes(limit).start().unwrap();
    let mut fits = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$900000\r\n".to_vec();
    fits.resize(fits.len() + 900_000, b'v');
    fits.extend_from_slice(b"\r\n");
    let script = Script::new([fits]);
    let written = Rc::clone(&script.written);
    finish(serve(script, session(&node), &thread(&node)));
    assert_same(&written.borrow(), b"+OK\r\n", "900 KB");

    let mut header = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$9000000\r\n".to_vec();
    header.resize(64 * 1024, b'v');
    let mut script = Script::new([header]);
    script.endless = Some(vec![b'v'; 64 * 1024]);
    finish(serve(script, session(&node), &thread(&node)));
    let stats = node.shared().stats.totals();
    assert_eq!(stats.query_limit_disconnections, 1);
    assert!(stats.net_input_bytes < 900_100 + limit + (128 << 10));
}

#[test]
fn strangers_are_kept_short() {
    let node = Node::builder().threads(1).requirepass("secret".to_owned()).start().unwrap();
    let serve_script = |script: Script| {
        let written = Rc::clone(&script.written);
        finish(serve(script, session(&node), &thread(&node)));
        String::from_utf8(written.take()).unwrap()
    };
    let ask = |input: &[u8]| serve_script(Script::new([input.to_vec()]));
    let words: Vec<&[u8]> = vec![b"word"; 11];
    let many = "-ERR Protocol error: unauthenticated multibulk length\r\n";
    assert_eq!(ask(&request(&words)), many);
    assert!(ask(&request(&words[..10])).starts_with("-ERR unknown command"));
    let long = "-ERR Protocol error: unauthenticated bulk length\r\n";
    assert_eq!(ask(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n"), long);
    // Once in, a client is a client, also within one pipeline.
    let mut input = request(&[b"AUTH", b"secret"]);
    let mut exists = words.clone();
    exists[0] = b"EXISTS";
    input.extend(request(&exists));
    input.extend(request(&[b"ECHO", &[b'e'; 20_000]]));
    let found = ask(&input);
    assert!(found.starts_with("+OK\r\n:0\r\n$20000\r\neee"), "{}", &found[..50]);
    // Outside again, the old limits hold.
    input.truncate(request(&[b"AUTH", b"secret"]).len());
    input.extend(request(&[b"RESET"]));
    input.extend(request(&exists));
    assert_eq!(ask(&input), format!("+OK\r\n+RESET\r\n{many}"));

    // Refusals are no reason to go while somebody reads them.
    let refusals = ask(&b"GET key\r\n".repeat(1000));
    assert_eq!(refusals, "-NOAUTH Authentication required.\r\n".repeat(1000));
    let before = node.shared().stats.totals();
    let script = Script::endless(b"GET key\r\n".repeat(10)).taking(Takes::Nothing);
    serve_script(script);
    let after = node.shared().stats.totals();
    assert_eq!(after.output_limit_disconnections - before.output_limit_disconnections, 1);
    let refused = after.error_replies - before.error_replies;
    assert!(refused < 2 * 1024 / 34, "{refused} refusals of 34 bytes");

    // An incomplete command of ten arguments is all that it may send.
    let before = node.shared().stats.totals().net_input_bytes;
    assert_eq!(serve_script(Script::endless(vec![b'x'; 10_000])), {
        "-ERR Protocol error: too big inline request\r\n"
    });
    assert!(node.shared().stats.totals().net_input_bytes - before < 1 << 20);
}

#[test]
fn a_connection_at_rest_can_move_to_another_thread() {
    let node = node();
    let (here, there) = (thread(&node), thread(&node));
    let mut script = Script::new([b"HELLO 3\r\nSELECT 3\r\nSET key value\r\nGE".to_vec()]);
    script.chunks.push_back(b"T key\r\n".to_vec());
    script.chunks.push_back(b"GET missing\r\n".to_vec());
    let written = Rc::clone(&script.written);
    // Asked to move at once, it does so as soon as nothing is in flight.
    here.load.surplus.store(1, Ordering::Relaxed);
    let Served::Surplus(script, session) = finish(serve(script, session(&node), &here)) else {
        panic!("it was to move");
    };
    assert!(written.borrow().is_empty(), "it moved before it read anything");
    assert!(matches!(finish(serve(script, *session, &there)), Served::Ended));
    assert!(written.borrow().ends_with(b"+OK\r\n$5\r\nvalue\r\n_\r\n"));
}

/// A client of a running node.
struct Conn {
    stream: DuplexStream,
    id: u64,
}

impl Conn {
    async fn new(node: &Node) -> Self {
        let mut conn = Self { stream: node.connect(), id: 0 };
        conn.send("CLIENT ID\r\n").await;
        let line = conn.line().await;
        conn.id = line.trim_start_matches(':').parse().unwrap();
        conn
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.unwrap());
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    async fn expect(&mut self, command: &str, reply: &str) {
        self.send(&format!("{command}\r\n")).await;
        assert_eq!(self.line().await, reply, "{command}");
    }

    async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_same(&rest, b"", "nothing is left");
    }

    async fn until_blocked(&self, node: &Node) {
        let client = node.shared().clients.get(self.id).unwrap();
        until(|| client.blocked.load(Ordering::Relaxed)).await;
    }
}

/// Waits for another thread, however long it takes.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until nobody is connected, and checks that nothing of anybody is left.
async fn assert_all_gone(node: &Node) {
    let shared = node.shared();
    until(|| shared.clients.is_empty() && shared.keyspace.memory().buffer_bytes() == 0).await;
    assert!(!shared.clients.are_over(Some(0)), "no client takes anything");
}

fn still(clock: &Clock) -> Builder {
    Node::builder().threads(1).clock(clock.clone())
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_went() {
    let node = node();
    node.local().set(b"big", &[b'v'; 300_000]);
    let mut conns = Vec::new();
    for number in 0..50 {
        let mut conn = Conn::new(&node).await;
        match number % 3 {
            // Half a command, an answer that nobody reads, nothing at all.
            0 => conn.send(&format!("*2\r\n$3\r\nSET\r\n$70000\r\n{}", "x".repeat(50_000))).await,
            1 => conn.send("GET big\r\nGET big\r\n").await,
            _ => {}
        }
        conns.push(conn);
    }
    let memory = node.shared().keyspace.memory();
    until(|| memory.buffer_bytes() > 17 * 50_000 + 17 * 400_000).await;
    drop(conns);
    assert_all_gone(&node).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_by_the_node() {
    let limits = output_limit(1 << 20);
    let node = Node::builder().threads(1).client_output_buffer_limit(limits).start().unwrap();
    node.local().set(b"big", &[b'v'; 100_000]);
    let mut conn = Conn::new(&node).await;
    // Until the node hangs up; without its limit this would fill the memory.
    while conn.stream.write_all(b"GET big\r\n").await.is_ok() {}
    assert_eq!(node.shared().stats.totals().output_limit_disconnections, 1);
    assert_all_gone(&node).await;
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let node =
        Node::builder().threads(1).enable_debug_command(ProtectedAction::Local).start().unwrap();
    let mut witness = Conn::new(&node).await;
    witness.expect("SET key value", "+OK").await;
    for _ in 0..3 {
        let mut conn = Conn::new(&node).await;
        conn.send("SET before panic\r\n*2\r\n$5\r\nDEBUG\r\n$5\r\nPANIC\r\nSET after panic\r\n")
            .await;
        // Whether the reply of the command before it gets through is not promised.
        let mut rest = Vec::new();
        conn.stream.read_to_end(&mut rest).await.unwrap();
        assert!(b"+OK\r\n".starts_with(&rest[..]));
        // The same thread serves the others, with the same buffers and locks.
        witness.expect("DEL before", ":1").await;
        witness.expect("EXISTS after", ":0").await;
        witness.expect("FLUSHALL", "+OK").await;
        until(|| node.shared().clients.len() == 1).await;
    }
    drop(witness);
    assert_all_gone(&node).await;
    assert!(node.local().set(b"key", b"value"));
}

#[tokio::test]
async fn what_a_transaction_wrote_before_a_panic_is_logged_and_serves_who_waits() {
    let node =
        Node::builder().threads(1).enable_debug_command(ProtectedAction::Local).start().unwrap();
    let effects = Effects::default();
    node.read_log(Box::new(effects.clone()));
    let mut waiter = Conn::new(&node).await;
    waiter.send("BLPOP list 0\r\n").await;
    waiter.until_blocked(&node).await;
    let mut conn = Conn::new(&node).await;
    conn.send("MULTI\r\nSET key written\r\nRPUSH list one\r\nDEBUG PANIC\r\nEXEC\r\n").await;
    conn.stream.read_to_end(&mut Vec::new()).await.unwrap();
    for line in ["*2", "$4", "list", "$3", "one"] {
        assert_eq!(waiter.line().await, line);
    }
    assert_eq!(node.local().get(b"key").as_deref(), Some(&b"written"[..]));
    let logged = String::from_utf8(effects.0.lock().unwrap().clone()).unwrap();
    let at = |word| logged.find(word).unwrap_or_else(|| panic!("{word} is not in {logged}"));
    assert!(at("written") < at("RPUSH") && at("RPUSH") < at("LPOP"), "{logged}");
}

#[tokio::test]
async fn a_pause_holds_commands_back_until_it_is_lifted() {
    let clock = Clock::manual(1_000_000);
    let node = still(&clock).start().unwrap();
    let (mut first, mut second) = (Conn::new(&node).await, Conn::new(&node).await);
    first.expect("CLIENT PAUSE 1000 WRITE", "+OK").await;
    second.expect("GET key", "$-1").await;
    second.send("GET key\r\nSET key value\r\nSTRLEN key\r\nGET key\r\n").await;
    // What came before the write is answered.
    assert_eq!(second.line().await, "$-1");
    second.until_blocked(&node).await;
    first.expect("EXISTS key", ":0").await;
    first.expect("CLIENT UNPAUSE", "+OK").await;
    assert_eq!((second.line().await.as_str(), second.line().await.as_str()), ("+OK", ":5"));
    assert_eq!((second.line().await.as_str(), second.line().await.as_str()), ("$5", "value"));

    // A pause of everything ends with its time.
    first.expect("CLIENT PAUSE 1000", "+OK").await;
    second.send("PING\r\n").await;
    second.until_blocked(&node).await;
    clock.advance(1001);
    assert_eq!(second.line().await, "+PONG");
}

#[tokio::test]
async fn nothing_expires_while_writes_are_paused() {
    let clock = Clock::manual(1_000_000);
    let node = still(&clock).start().unwrap();
    let mut conn = Conn::new(&node).await;
    conn.expect("SET key value PX 10", "+OK").await;
    conn.expect("CLIENT PAUSE 1000 WRITE", "+OK").await;
    clock.advance(500);
    conn.expect("GET key", "$-1").await;
    conn.expect("DBSIZE", ":1").await;
    clock.advance(501);
    conn.expect("GET key", "$-1").await;
    until(|| node.shared().stats.totals().expired_keys == 1).await;
    conn.expect("DBSIZE", ":0").await;
}

#[tokio::test]
async fn a_paused_client_can_be_killed_or_go() {
    let clock = Clock::manual(1_000_000);
    let node = still(&clock).start().unwrap();
    let mut first = Conn::new(&node).await;
    let (mut killed, mut gone) = (Conn::new(&node).await, Conn::new(&node).await);
    first.expect("CLIENT PAUSE 1000000 WRITE", "+OK").await;
    for conn in [&mut killed, &mut gone] {
        conn.send("SET key value\r\n").await;
        conn.until_blocked(&node).await;
    }
    first.expect(&format!("CLIENT KILL ID {}", killed.id), ":1").await;
    killed.expect_end().await;
    drop(gone);
    until(|| node.shared().clients.len() == 1).await;
    first.expect("CLIENT UNPAUSE", "+OK").await;
    first.expect("STRLEN key", ":0").await;
    drop(first);
    assert_all_gone(&node).await;
}

#[tokio::test]
async fn a_client_can_be_killed_at_rest_and_by_itself() {
    let node = node();
    let (mut first, mut second) = (Conn::new(&node).await, Conn::new(&node).await);
    first.expect(&format!("CLIENT KILL ID {}", second.id), ":1").await;
    second.expect_end().await;
    let id = first.id;
    first.expect(&format!("CLIENT KILL ID {id} SKIPME no"), ":1").await;
    first.expect_end().await;
    assert_all_gone(&node).await;
}

#[tokio::test]
async fn connections_end_with_their_node() {
    let node = node();
    let mut conn = Conn::new(&node).await;
    conn.expect("SET key value", "+OK").await;
    // `shutdown` blocks until all threads are joined.
    tokio::task::spawn_blocking(|| node.shutdown()).await.unwrap();
    conn.expect_end().await;
}
