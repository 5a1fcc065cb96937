//! Which PostgreSQL, as whom and how safely: `postgres://user@host1,host2/database?…`.
//!
//! The URL is libpq's. Every timeout is set, whether the URL names it or not; of several hosts the one that takes writes
//! is wanted. A connection that leaves the machine is encrypted and its server verified unless the URL says
//! `sslmode=disable`. A password comes in the URL (of the environment or the configuration file, never of a
//! command line), in `PGPASSWORD` or in the file that `PGPASSFILE` names. Nothing here is ever shown with it.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

/// How long a host may take to be connected to: one that is down must leave time for the next one.
const CONNECT: Duration = Duration::from_millis(700);

/// Unanswered bytes end a connection after this long: a server whose machine vanished is noticed by the next statement.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// When a silent connection is asked whether it is still there, how often then, and how many times.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);

/// Why a database URL cannot be used. Never shows the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database: {0}")]
pub struct BadUrl(String);

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all: this machine, or told so.
    Off,
    /// TLS, the server verified by the system's roots.
    System,
    /// TLS, the server verified by the certificates of this PEM file.
    File(PathBuf),
}

/// A PostgreSQL that a tracker keeps its catalogue in.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// One for each host: which of them is tried how long is ours to say.
    pub(crate) hosts: Vec<Config>,
    pub(crate) tls: Tls,
    has_password: bool,
    shown: String,
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// Database and hosts, nothing secret.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for PostgresUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let (url, own) = take_own_parameters(text)?;
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            // The parser's errors name keys, and values only of numbers.
            BadUrl(format!("{error}; expected postgres://USER@HOST/DATABASE"))
        })?;
        if config.get_hosts().is_empty() {
            return Err(BadUrl("which host? postgres://USER@HOST/DATABASE".to_owned()));
        }
        let tls = tls(&own, config.get_hosts())?;
        set_timeouts(&mut config);
        config
            .application_name("p2p-tracker")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .ssl_mode(if tls == Tls::Off {
                SslMode::Disable
            } else {
                SslMode::Require
            });
        let shown = shown(&config);
        Ok(Self {
            has_password: config.get_password().is_some(),
            hosts: single_hosts(&config)?,
            tls,
            shown,
        })
    }
}

impl PostgresUrl {
    /// Whether the URL itself holds a password.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// The same with a password from elsewhere, unless it has one: `password` itself (`PGPASSWORD`), or from a file of the
    /// form `host:port:database:user:password` (`PGPASSFILE`).
    ///
    /// # Errors
    /// When the file cannot be read or may be read by others.
    pub fn with_password(mut self, password: Option<&str>, file: Option<&Path>) -> Result<Self, BadUrl> {
        if self.has_password {
            return Ok(self);
        }
        let lines = match (password, file) {
            (None, Some(path)) => read_private(path)?,
            _ => String::new(),
        };
        for config in &mut self.hosts {
            let found = password
                .map(str::to_owned)
                .or_else(|| password_for(config, &lines));
            if let Some(password) = found {
                config.password(password);
            }
        }
        Ok(self)
    }
}

/// What the URL says about TLS: the driver knows neither name.
#[derive(Default)]
struct OwnParameters {
    ssl_mode: Option<String>,
    root_cert: Option<PathBuf>,
}

fn take_own_parameters(text: &str) -> Result<(String, OwnParameters), BadUrl> {
    let mut own = OwnParameters::default();
    let Some((base, query)) = text.split_once('?') else {
        return Ok((text.to_owned(), own));
    };
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => own.ssl_mode = Some(mode.to_owned()),
            Some(("sslrootcert", path)) => own.root_cert = Some(PathBuf::from(unescaped(path)?)),
            Some(("target_session_attrs", attrs)) if attrs != "read-write" => {
                let detail = "target_session_attrs: the tracker writes, so it is always read-write";
                return Err(BadUrl(detail.to_owned()));
            }
            _ => rest.push(pair),
        }
    }
    Ok((format!("{base}?{}", rest.join("&")), own))
}

/// Percent-decoding of a path in a URL.
fn unescaped(text: &str) -> Result<String, BadUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: Option<(u32, u32)> = rest
            .next()
            .zip(rest.next())
            .and_then(|(high, low)| Some((char::from(high).to_digit(16)?, char::from(low).to_digit(16)?)));
        let (high, low) =
            digits.ok_or_else(|| BadUrl("sslrootcert: % without two hexadecimal digits".to_owned()))?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| BadUrl("sslrootcert: not UTF-8".to_owned()))
}

fn tls(own: &OwnParameters, hosts: &[Host]) -> Result<Tls, BadUrl> {
    let on = || own.root_cert.clone().map_or(Tls::System, Tls::File);
    match own.ssl_mode.as_deref() {
        Some("disable") => Ok(Tls::Off),
        // Without verification, whoever is in between is the server: `require` verifies, too.
        Some("require" | "verify-ca" | "verify-full") => Ok(on()),
        None if own.root_cert.is_none() && hosts.iter().all(is_this_machine) => Ok(Tls::Off),
        None => Ok(on()),
        Some(_) => {
            let detail =
                "sslmode is disable, require, verify-ca or verify-full; the last three encrypt and verify";
            Err(BadUrl(detail.to_owned()))
        }
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => crate::api::host::is_this_machine(name),
        Host::Unix(_) => true,
    }
}

fn set_timeouts(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    let (idle, interval, retries) = KEEP_ALIVE;
    config
        .keepalives(true)
        .keepalives_idle(idle)
        .keepalives_interval(interval)
        .keepalives_retries(retries);
}

/// A configuration for each host: the driver would wait for ever for one that accepts and does not answer.
fn single_hosts(config: &Config) -> Result<Vec<Config>, BadUrl> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(BadUrl("as many ports as hosts, or one".to_owned()));
    }
    let one = |(at, host): (usize, &Host)| {
        let mut single = Config::new();
        match host {
            Host::Tcp(name) => single.host(name),
            Host::Unix(path) => single.host_path(path),
        };
        single.port(ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432));
        copy_settings(config, &mut single);
        single
    };
    Ok(hosts.iter().enumerate().map(one).collect())
}

fn copy_settings(from: &Config, to: &mut Config) {
    let user = from.get_user().unwrap_or("postgres");
    to.user(user).dbname(from.get_dbname().unwrap_or(user));
    if let Some(password) = from.get_password() {
        to.password(password);
    }
    if let Some(options) = from.get_options() {
        to.options(options);
    }
    if let Some(timeout) = from.get_connect_timeout() {
        to.connect_timeout(*timeout);
    }
    if let Some(timeout) = from.get_tcp_user_timeout() {
        to.tcp_user_timeout(*timeout);
    }
    if let (Some(interval), Some(retries)) = (from.get_keepalives_interval(), from.get_keepalives_retries()) {
        to.keepalives_interval(interval).keepalives_retries(retries);
    }
    to.keepalives(from.get_keepalives())
        .keepalives_idle(from.get_keepalives_idle())
        .application_name(from.get_application_name().unwrap_or_default())
        .target_session_attrs(from.get_target_session_attrs())
        .channel_binding(from.get_channel_binding())
        .ssl_mode(from.get_ssl_mode());
}

fn shown(config: &Config) -> String {
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
    let name = config
        .get_dbname()
        .or_else(|| config.get_user())
        .unwrap_or("postgres");
    format!("{name:?} at {}", hosts.join(", "))
}

/// A file that nobody else may read.
fn read_private(path: &Path) -> Result<String, BadUrl> {
    let failed = |error: std::io::Error| BadUrl(format!("PGPASSFILE {}: {error}", path.display()));
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let detail = format!("PGPASSFILE {}: others may read it; chmod 600 it", path.display());
        return Err(BadUrl(detail));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The first line that fits, as libpq reads it
/// (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).
fn password_for(config: &Config, lines: &str) -> Option<String> {
    let host = match config.get_hosts().first()? {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => "localhost".to_owned(),
    };
    let port = config.get_ports().first()?.to_string();
    let wanted = [host.as_str(), &port, config.get_dbname()?, config.get_user()?];
    lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = fields(line);
            let (password, place) = fields.split_last()?;
            let fits = place.len() == wanted.len()
                && place
                    .iter()
                    .zip(wanted)
                    .all(|(said, wanted)| said == "*" || said == wanted);
            fits.then(|| password.clone())
        })
}

/// Fields between colons; `\:` is a colon and `\\` a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            ':' => {
                fields.push(String::new());
                continue;
            }
            '\\' => letters.next().unwrap_or('\\'),
            letter => letter,
        };
        fields.last_mut().into_iter().for_each(|field| field.push(letter));
    }
    fields
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
