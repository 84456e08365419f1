//! Programs that people run on Redis, unchanged, on Larder.
//!
//! Each test runs a small program over a well-known library, first against `redis-server`: a program
//! that fails there proves nothing. Then it runs against Larder, where it has to print the same. The
//! Python and Node.js programs lie beside this file; `install`, which `tests/run` calls, puts their
//! libraries, pinned, under `target/programs`.

mod redis_rs;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Redis, Server};

/// How long a program may run. Generous: it is met by one that hangs.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn redis_py() {
    same_output(
        "redis_py.py",
        &[
            "transaction [True, 2, 2, ['x', 'y']]",
            "counter 100",
            "a watched key changed: refused other",
            "published [1, 1, 0] heard [('message', None, 'news', 'one'), \
             ('pmessage', 'sport.*', 'sport.golf', 'two'), ('message', None, 'news', 'last')]",
            "loaded again 12 [True]",
            "lock held True True by another False",
            "fields 300",
        ],
    );
}

#[test]
fn redis_py_with_its_client_side_cache() {
    same_output(
        "cache_py.py",
        &[
            "from memory ({'one'}, 0) entries 1",
            "another client wrote ({'two'}, 0)",
            "expired {None}",
            "flushed {None}",
            "by a script and by a transaction",
        ],
    );
}

#[test]
fn rq() {
    same_output(
        "rq_queue.py",
        &["results 3 42 70", "many 380", "scheduled 1 scheduled", "left 0 0"],
    );
}

#[test]
fn celery() {
    same_output(
        "celery_app.py",
        &["result 42", "chain 13", "chord 15", "failed ValueError('meant to fail') FAILURE"],
    );
}

#[test]
fn bullmq() {
    same_output(
        "bullmq.js",
        &[
            "results [9,1,4] order square1 square2 square3",
            "flaky after 3 attempts",
            "delayed 81 true",
            "flow 6",
            "failed bad: meant to fail",
            "left []",
        ],
    );
}

#[test]
fn node_redis() {
    same_output(
        "node_redis.js",
        &[
            "watched refused changed",
            "heard hello,news:hello",
            "events del session:expires:2,expire session:expires:1,expired session:expires:1",
            "cache hits true",
        ],
    );
}

/// Runs `check` against `redis-server`, then against Larder.
fn on_both(check: impl Fn(&Server)) {
    check(&Redis::start());
    check(&Server::start());
}

/// Runs a program against both servers; the output has to be the same and to have `lines` in it.
#[track_caller]
fn same_output(program: &str, lines: &[&str]) {
    let expected = run(program, &Redis::start());
    for line in lines {
        assert!(
            expected.lines().any(|printed| printed == *line),
            "{program} on redis-server does not print {line:?}:\n{expected}"
        );
    }
    let printed = run(program, &Server::start());
    assert_eq!(printed, expected, "{program} prints something else on Larder (left)");
}

/// What a program prints when it runs against `server`.
#[track_caller]
fn run(program: &str, server: &Server) -> String {
    let installed = installed();
    let interpreter = if program.ends_with(".py") { "venv/bin/python" } else { "node" };
    let mut child = Command::new(installed.join(interpreter))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(program))
        .arg(server.addr().port().to_string())
        .env("NODE_PATH", installed.join("node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/programs/install installs it"));
    let deadline = Instant::now() + PATIENCE;
    let mut hangs = false;
    // What a program prints fits the pipes, so that it is read when the program has ended.
    while child.try_wait().expect("the child is ours").is_none() {
        if Instant::now() > deadline {
            hangs = true;
            child.kill().expect("the child is ours");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("pipes can be read");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {}, printed\n{printed}\nand\n{errors}",
        if hangs { "hangs" } else { "failed" }
    );
    printed
}

/// Where `install` puts what the programs stand on.
fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("cargo's own folder is above").join("programs")
}
