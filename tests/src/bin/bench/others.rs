//! The programs that ours is compared with: the limit program, libtorrent, nginx with curl, and cp.
//!
//! Each does what a user of it would do, with the settings that make it fastest here, and is left out, by name, when it is not
//! installed. `tests/prepare.sh bench` installs them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use p2p_tests::process::{Launch, Program};

use crate::pair::{Job, Pair, Run, fetch, files};

/// Where a program is, in the places where the bench's own tools are and then in the usual ones.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let own = tools().join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    std::iter::once(own)
        .chain(usual)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// What `tests/prepare.sh bench` installs goes here.
pub(crate) fn tools() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::path::absolute(target.join("bench-tools")).expect("the path of this folder")
}

fn launch(program: &Path, folder: &Path) -> Launch {
    Launch::new(&program.to_string_lossy(), folder)
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("its address").port()
}

/// The same work with no protocol; made durable, as ours is.
pub(crate) struct Limit {
    /// `sha256x2` or `blake3`.
    pub(crate) hash: &'static str,
}

impl Pair for Limit {
    fn name(&self) -> String {
        format!("limit {}", self.hash)
    }

    fn does(&self) -> &'static str {
        "encrypted, verified, durable"
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let program = p2p_tests::process::binary("limit");
        let both = launch(&program, &job.work)
            .arg(&job.source)
            .arg(job.copy())
            .arg(self.hash)
            .env("LIMIT_SYNC", "1");
        // One process: what it costs stands under the fetcher. Its start is part of the time, as everybody's is.
        fetch(job, None, both)
    }
}

/// libtorrent-rasterbar 2 through its Python binding.
pub(crate) struct Libtorrent {
    /// `v1` or `v2`.
    pub(crate) kind: &'static str,
}

/// What drives it; written beside its data.
const DRIVER: &str = include_str!("libtorrent_peer.py");

impl Libtorrent {
    fn python() -> PathBuf {
        tools().join("venv/bin/python")
    }

    fn driver(&self, job: &Job, role: &str) -> Launch {
        let script = job.work.join("libtorrent_peer.py");
        std::fs::write(&script, DRIVER).expect("the driver");
        launch(&Self::python(), &job.work)
            .arg(script)
            .arg(role)
            .arg(job.work.join(format!("{}.torrent", self.kind)))
    }
}

impl Pair for Libtorrent {
    fn name(&self) -> String {
        format!("libtorrent {}", self.kind)
    }

    fn does(&self) -> &'static str {
        "verified"
    }

    fn missing(&self) -> Option<String> {
        let import = Command::new(Self::python())
            .args(["-c", "import libtorrent"])
            .output();
        let there = import.is_ok_and(|output| output.status.success());
        (!there).then(|| "libtorrent for Python".to_owned())
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let made = self.driver(job, "make").arg(&job.source).arg(self.kind).run();
        if made.code != Some(0) {
            return Err(made.err);
        }
        let port = free_port();
        let parent = job.source.parent().expect("a source in a folder");
        let sharer = self.driver(job, "seed").arg(parent).arg(port.to_string()).start();
        sharer.wait_out(0, "that it is up", |line| (line == "up").then_some(()));
        let fetcher = self
            .driver(job, "fetch")
            .arg(&job.destination)
            .arg(free_port().to_string())
            .arg(port.to_string());
        fetch(job, Some(&sharer), fetcher)
    }
}

/// nginx with one worker and curl, TLS 1.3 with AES-256-GCM; a folder as one request per file on one connection.
pub(crate) struct Web;

impl Web {
    fn certificate(folder: &Path) -> Result<(), String> {
        let made = Launch::new(&find("openssl").unwrap_or_default().to_string_lossy(), folder)
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .run();
        if made.code == Some(0) {
            Ok(())
        } else {
            Err(made.err)
        }
    }

    fn server(job: &Job, port: u16) -> Program {
        let root = job.source.parent().expect("a source in a folder").display();
        let work = job.work.display();
        let configuration = format!(
            "daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             client_body_temp_path {work}/t; proxy_temp_path {work}/t; fastcgi_temp_path {work}/t;\n\
             uwsgi_temp_path {work}/t; scgi_temp_path {work}/t;\n\
             server {{ listen 127.0.0.1:{port} ssl; root {root};\n\
             ssl_certificate {work}/certificate.pem; ssl_certificate_key {work}/key.pem; ssl_protocols TLSv1.3;\n\
             ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384; }} }}\n"
        );
        std::fs::write(job.work.join("nginx.conf"), configuration).expect("nginx's configuration");
        let nginx = find("nginx").unwrap_or_default();
        let program = launch(&nginx, &job.work)
            .arg("-p")
            .arg(&job.work)
            .arg("-c")
            .arg(job.work.join("nginx.conf"))
            .start();
        // It says nothing when it is up: try until it answers.
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        program
    }

    /// curl's list: where each file comes from and goes to.
    fn list(job: &Job, port: u16) -> PathBuf {
        let parent = job.source.parent().expect("a source in a folder");
        let mut list = String::new();
        for file in files(&job.source) {
            let below = file.strip_prefix(parent).expect("below the source").display();
            let to = job.destination.join(below.to_string());
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder for the copy");
            list.push_str(&format!(
                "url = \"https://127.0.0.1:{port}/{below}\"\noutput = \"{}\"\n",
                to.display()
            ));
        }
        let path = job.work.join("urls");
        std::fs::write(&path, list).expect("curl's list");
        path
    }
}

impl Pair for Web {
    fn name(&self) -> String {
        "nginx + curl".to_owned()
    }

    fn does(&self) -> &'static str {
        "encrypted"
    }

    fn missing(&self) -> Option<String> {
        let missing: Vec<_> = ["nginx", "curl", "openssl"]
            .into_iter()
            .filter(|name| find(name).is_none())
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let port = free_port();
        Self::certificate(&job.work)?;
        let server = Self::server(job, port);
        let list = Self::list(job, port);
        let curl = launch(&find("curl").unwrap_or_default(), &job.work)
            .args(["-sS", "--fail", "--tlsv1.3", "--cacert", "certificate.pem", "-K"])
            .arg(list);
        fetch(job, Some(&server), curl)
    }
}

/// `cp` and `sync`: what the file system takes to make the same files durable, with nobody to fetch them from.
pub(crate) struct Copy;

impl Pair for Copy {
    fn name(&self) -> String {
        "cp + sync".to_owned()
    }

    fn does(&self) -> &'static str {
        "durable"
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let shell = find("sh").ok_or("no shell")?;
        let copy = launch(&shell, &job.work)
            .args(["-c", r#"cp -r "$1" "$2" && exec sync -f "$2""#, "sh"])
            .arg(&job.source)
            .arg(&job.destination);
        fetch(job, None, copy)
    }
}
