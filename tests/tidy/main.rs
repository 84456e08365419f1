//! House rules that a program can check. Each failure names the better way.
//!
//! What the compiler and clippy check already (formatting, missing documentation, `unwrap`, SAFETY
//! comments, locks across `.await`) is set in the workspace's lints and not repeated here.

mod code;
mod layout;
mod source;

/// Fails with every finding at once, below the better way.
#[track_caller]
fn report(better_way: &str, findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{better_way}\n  {}\n({} findings)",
        findings.join("\n  "),
        findings.len()
    );
}
