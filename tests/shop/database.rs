//! Databases of Debian's packages, each started for one test in a folder of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Program, find, free_port, open_folder, run, unprivileged};

/// A database that a shop can use.
pub(crate) struct Database {
    pub(crate) url: String,
    program: Program,
    /// The signal that asks it to end without delay.
    signal: &'static str,
}

impl Database {
    pub(crate) fn postgresql() -> Self {
        // Debian keeps the servers of each version apart from the path.
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        let folder = open_folder();
        let data = folder.path().join("data");
        let mut init = unprivileged(&find("initdb", &folders));
        init.args([
            "--auth=trust",
            "--username=shop",
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
        ]);
        run(init.arg("-D").arg(&data).current_dir(folder.path()));
        let address = free_port();
        let mut server = unprivileged(&find("postgres", &folders));
        server.current_dir(folder.path()).arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
        server.args(["-c", "fsync=off", "-c", "shared_buffers=16MB"]);
        let mut program = Program::start(server, folder);
        program.wait_for(address);
        let url = format!("postgres://shop@127.0.0.1:{}/postgres", address.port());
        Self { url, program, signal: "INT" }
    }

    pub(crate) fn mariadb() -> Self {
        let folder = open_folder();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let mut install = unprivileged(&find("mariadb-install-db", &[]));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve", &data]);
        run(install.current_dir(folder.path()));
        let start = folder.path().join("start.sql");
        let sql = "CREATE DATABASE shop CHARACTER SET utf8mb4;\n\
                   CREATE USER 'shop'@'127.0.0.1' IDENTIFIED BY 'shop';\n\
                   GRANT ALL ON shop.* TO 'shop'@'127.0.0.1';\n";
        std::fs::write(&start, sql).expect("a folder to write to");
        run(Command::new("chmod").arg("644").arg(&start));
        let address = free_port();
        let mut server = unprivileged(&find("mariadbd", &["/usr/sbin".into()]));
        server.current_dir(folder.path()).args(["--no-defaults", &data, "--skip-name-resolve"]);
        server.arg(format!("--init-file={}", start.display()));
        server.arg(format!("--socket={}", folder.path().join("socket").display()));
        server.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]);
        server.args(["--innodb-buffer-pool-size=16M", "--port", &address.port().to_string()]);
        let mut program = Program::start(server, folder);
        program.wait_for(address);
        let url = format!("mysql://shop:shop@127.0.0.1:{}/shop", address.port());
        Self { url, program, signal: "TERM" }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.program.end(self.signal);
    }
}
