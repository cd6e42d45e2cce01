//! What a `nats:` address says.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{ConnectError, check_topic};

/// Where the servers are, how to log in, and whether and how events are kept.
///
/// ```
/// use bus::NatsOptions;
///
/// let options: NatsOptions = "nats://r3x:secret@10.0.0.1,10.0.0.2:4223?stream=CANTINA_LOG".parse()?;
/// assert_eq!(options.stream().expect("it is asked for").name, "CANTINA_LOG");
/// assert!(!format!("{options:?}").contains("secret"));
///
/// let error = "nats://localhost?strem=A".parse::<NatsOptions>().unwrap_err();
/// assert!(error.to_string().starts_with("`strem` is not an option of a NATS address"));
/// # Ok::<(), bus::ConnectError>(())
/// ```
///
/// The whole form is `nats://[user:password@|token@]host[:port][,host[:port]…][?option=value&…]`, or `tls://` where TLS is a must.
/// In user, password, token and values, `%` and two hex digits stand for a byte, so that `@` is `%40`.
///
/// | option | means | default |
/// |---|---|---|
/// | `name` | how the servers call this client | none |
/// | `credentials` | a file with a JWT and its key | none |
/// | `ca` | a file with the certificates to trust, instead of the system's | the system's |
/// | `cert`, `key` | files with the certificate of this client and its key | none |
/// | `stream` | the servers keep events, in the stream of this name (JetStream) | not kept |
///
/// With `stream` there are these too; the [fields of `StreamOptions`](StreamOptions) say what they mean:
/// `topics=a,b`, `replicas=3`, `duplicate_window=120s`, `max_age=7d`, `max_bytes=1000000`, `storage=file` or `storage=memory`.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsOptions {
    pub(super) servers: Vec<String>,
    pub(super) login: Login,
    pub(super) name: Option<String>,
    pub(super) credentials: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) stream: Option<StreamOptions>,
    /// Messages that the client library holds for one subscription, until our thread takes them.
    pub(super) arrivals_max: usize,
}

/// How this client shows who it is, besides a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    None,
    User { user: String, password: String },
    Token(String),
}

/// The stream in which the servers keep events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Its name: one to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// The topics that are kept; empty means all.
    pub topics: Vec<String>,
    /// On how many servers each event is kept: 1 to 5.
    pub replicas: usize,
    /// How long the servers remember an event's id, and drop a second one.
    pub duplicate_window: Duration,
    /// Events are kept for this long at most.
    pub max_age: Option<Duration>,
    /// Events are kept up to this size together; then the oldest go.
    pub max_bytes: Option<u64>,
    /// Where they are kept.
    pub storage: Storage,
}

/// Where servers keep events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk: they are there again after a restart.
    File,
    /// In memory: they are gone when all servers have ended.
    Memory,
}

impl StreamOptions {
    /// A stream of all topics, on one server's disk, without limits, that remembers ids for two minutes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topics: Vec::new(),
            replicas: 1,
            duplicate_window: Duration::from_mins(2),
            max_age: None,
            max_bytes: None,
            storage: Storage::File,
        }
    }
}

impl NatsOptions {
    /// Messages of one subscription that can arrive while our thread is busy with one read of the socket; see the module `nats`.
    const ARRIVALS_MAX: usize = 1 << 19;

    /// The stream in which events are to be kept, if any.
    pub fn stream(&self) -> Option<&StreamOptions> {
        self.stream.as_ref()
    }

    /// Keeps only these topics, if there is a stream and the address does not say which topics it keeps.
    #[must_use]
    pub fn with_topics_if_unset(mut self, topics: &[&str]) -> Self {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.topics.is_empty()) {
            stream.topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        }
        self
    }

    /// Bounds the stream, if there is one, in what the address does not say.
    #[must_use]
    pub fn with_limits_if_unset(mut self, max_age: Duration, max_bytes: u64) -> Self {
        if let Some(stream) = &mut self.stream {
            stream.max_age.get_or_insert(max_age);
            stream.max_bytes.get_or_insert(max_bytes);
        }
        self
    }

    /// Only this many messages of a subscription wait for our thread, so that a test can make more arrive at once.
    #[doc(hidden)]
    #[must_use]
    pub fn with_arrivals_max(mut self, messages: std::num::NonZeroUsize) -> Self {
        self.arrivals_max = messages.get();
        self
    }
}

/// Shows neither password nor token.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match &self.login {
            Login::None => "none",
            Login::User { user, .. } => user,
            Login::Token(_) => "a token",
        };
        f.debug_struct("NatsOptions")
            .field("servers", &self.servers)
            .field("login", &login)
            .field("name", &self.name)
            .field("credentials", &self.credentials)
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl std::str::FromStr for NatsOptions {
    type Err = ConnectError;

    fn from_str(url: &str) -> Result<Self, ConnectError> {
        let (scheme, rest) = url.split_once(':').ok_or(ConnectError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "nats" | "tls") {
            return Err(ConnectError::UnknownScheme { scheme });
        }
        let rest = rest.strip_prefix("//").ok_or(address("`//` must follow the scheme"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_suffix('/').unwrap_or(place);
        let (login, hosts) = match place.rsplit_once('@') {
            Some((login, hosts)) => (parse_login(login)?, hosts),
            None => (Login::None, place),
        };
        let servers = hosts.split(',').map(|host| parse_server(&scheme, host));
        let mut options = Self {
            servers: servers.collect::<Result<_, _>>()?,
            login,
            name: None,
            credentials: None,
            ca: None,
            cert: None,
            key: None,
            stream: None,
            arrivals_max: Self::ARRIVALS_MAX,
        };
        Query::parse(query)?.apply(&mut options)?;
        Ok(options)
    }
}

/// The parts before the options are at fault. They may hold a password, so they are not shown.
fn address(reason: &'static str) -> ConnectError {
    ConnectError::Address { reason }
}

fn parse_login(login: &str) -> Result<Login, ConnectError> {
    const FAULT: &str = "before the `@` there is `user:password` or a token, with `%` and two hex digits for `@`, `:`, `/`, `?`, `,` and `%`";
    if login.is_empty() || login.contains(['@', '/', ',']) {
        return Err(address(FAULT));
    }
    let text = |part| decode(part).ok_or(address(FAULT));
    Ok(match login.split_once(':') {
        Some((_, password)) if password.contains(':') => return Err(address(FAULT)),
        Some((user, password)) => Login::User { user: text(user)?, password: text(password)? },
        None => Login::Token(text(login)?),
    })
}

/// `nats://host:port` of one server.
fn parse_server(scheme: &str, text: &str) -> Result<String, ConnectError> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address is in brackets, and so are its colons.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "4222"),
    };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let inner = if is_bracketed { &host[1..host.len() - 1] } else { host };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_fine = if is_bracketed {
        inner.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.bytes().all(is_host)
    };
    if !is_fine {
        return Err(address(
            "a server is `host` or `host:port`, and several have `,` between them",
        ));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(format!("{scheme}://{host}:{port}")),
        _ => Err(address("the port of a server is a number from 1 to 65535")),
    }
}

/// Undoes `%40`. `None` if what follows a `%` is not two hex digits, or if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (&[high, low], after) = rest.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The options that a query may have, in the order in which an error names them.
const OPTIONS: [&str; 12] = [
    "name",
    "credentials",
    "ca",
    "cert",
    "key",
    "stream",
    "topics",
    "replicas",
    "duplicate_window",
    "max_age",
    "max_bytes",
    "storage",
];

/// The options of an address, each at most once, that nobody has asked for yet.
struct Query(Vec<(&'static str, String)>);

impl Query {
    fn parse(query: &str) -> Result<Self, ConnectError> {
        // Whoever did not encode the `?` of a password meant no options, and must not see them in an error.
        if query.contains('@') {
            return Err(address("`?` begins the options, and `@` is `%40` in them"));
        }
        let mut options: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = OPTIONS.into_iter().find(|known| *known == name);
            let name = known.ok_or_else(|| ConnectError::UnknownOption {
                name: name.to_owned(),
                known: OPTIONS.join(", "),
            })?;
            if options.iter().any(|(given, _)| *given == name) {
                return Err(option(name, "is given twice"));
            }
            let value = decode(value).filter(|value| !value.is_empty());
            options.push((name, value.ok_or(option(name, "has no value that can be read"))?));
        }
        Ok(Self(options))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(given, _)| *given == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// The option as what `read` makes of it.
    fn take_as<T>(
        &mut self,
        name: &'static str,
        reason: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConnectError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or(option(name, reason))
    }

    fn apply(mut self, options: &mut NatsOptions) -> Result<(), ConnectError> {
        options.name = self.take("name");
        options.credentials = self.take("credentials").map(PathBuf::from);
        options.ca = self.take("ca").map(PathBuf::from);
        options.cert = self.take("cert").map(PathBuf::from);
        options.key = self.take("key").map(PathBuf::from);
        if options.cert.is_some() != options.key.is_some() {
            return Err(option("cert", "and `key` come together"));
        }
        options.stream = self.take_stream()?;
        match self.0.first() {
            Some((name, _)) => Err(option(name, "is for a stream, so it needs `stream` too")),
            None => Ok(()),
        }
    }

    fn take_stream(&mut self) -> Result<Option<StreamOptions>, ConnectError> {
        let name = "is one to 64 letters, digits, `-` and `_`";
        let Some(name) = self.take_as("stream", name, stream_name)? else { return Ok(None) };
        let mut stream = StreamOptions::new(name);
        if let Some(all) = self.take_as("topics", "is topics with `,` between them", topics)? {
            stream.topics = all;
        }
        let number = |text: &str| text.parse().ok().filter(|number| (1..=5).contains(number));
        if let Some(replicas) = self.take_as("replicas", "is a number from 1 to 5", number)? {
            stream.replicas = replicas;
        }
        let period = "is a number with `s`, `m`, `h` or `d` behind it, more than zero";
        if let Some(window) = self.take_as("duplicate_window", period, duration)? {
            stream.duplicate_window = window;
        }
        stream.max_age = self.take_as("max_age", period, duration)?;
        let bytes = |text: &str| text.parse().ok().filter(|bytes| *bytes > 0);
        stream.max_bytes = self.take_as("max_bytes", "is a number above zero", bytes)?;
        if let Some(storage) = self.take_as("storage", "is `file` or `memory`", storage)? {
            stream.storage = storage;
        }
        Ok(Some(stream))
    }
}

fn option(name: &'static str, reason: &'static str) -> ConnectError {
    ConnectError::Option { name, reason }
}

fn stream_name(text: &str) -> Option<String> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((1..=64).contains(&text.len()) && text.bytes().all(is_fine)).then(|| text.to_owned())
}

fn topics(text: &str) -> Option<Vec<String>> {
    text.split(',').map(|topic| check_topic(topic).ok().map(|()| topic.to_owned())).collect()
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let seconds = number.parse::<u32>().ok().filter(|number| *number > 0)?.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds.into()))
}

fn storage(text: &str) -> Option<Storage> {
    match text {
        "file" => Some(Storage::File),
        "memory" => Some(Storage::Memory),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> NatsOptions {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let error = url.parse::<NatsOptions>().expect_err("it is wrong");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_plain_address_is_one_server_on_the_usual_port() {
        let options = parse("nats://localhost");
        assert_eq!(options.servers, ["nats://localhost:4222"]);
        assert!(options.login == Login::None);
        assert_eq!(options.stream(), None);
    }

    #[test]
    fn an_address_may_say_everything() {
        let options = parse(
            "TLS://r3x:p%40ss@a:1,[::1]:2,[::2]/?name=r3x&ca=/etc/ca.pem&cert=c&key=k&credentials=f\
             &stream=S&topics=logging.entry,/dashboard/log&replicas=3&duplicate_window=5m&max_age=7d\
             &max_bytes=1000&storage=memory",
        );
        assert_eq!(options.servers, ["tls://a:1", "tls://[::1]:2", "tls://[::2]:4222"]);
        let login = Login::User { user: "r3x".to_owned(), password: "p@ss".to_owned() };
        assert!(options.login == login);
        assert_eq!(options.ca, Some("/etc/ca.pem".into()));
        let stream = StreamOptions {
            name: "S".to_owned(),
            topics: vec!["logging.entry".to_owned(), "/dashboard/log".to_owned()],
            replicas: 3,
            duplicate_window: Duration::from_mins(5),
            max_age: Some(Duration::from_hours(7 * 24)),
            max_bytes: Some(1000),
            storage: Storage::Memory,
        };
        assert_eq!(options.stream(), Some(&stream));
    }

    #[test]
    fn a_program_chooses_the_topics_only_where_the_address_does_not() {
        let topics = |url| {
            let options = parse(url).with_topics_if_unset(&["logging.entry"]);
            options.stream().map(|stream| stream.topics.clone())
        };
        assert_eq!(topics("nats://x?stream=S"), Some(vec!["logging.entry".to_owned()]));
        assert_eq!(topics("nats://x?stream=S&topics=a"), Some(vec!["a".to_owned()]));
        assert_eq!(topics("nats://x"), None);
    }

    #[test]
    fn a_wrong_option_is_named() {
        check(
            "nats://x?strem=S",
            "`strem` is not an option of a NATS address (known: name, credentials, ca, cert, key, \
             stream, topics, replicas, duplicate_window, max_age, max_bytes, storage)",
        );
        for (query, expected) in [
            ("stream=a.b", "`stream` is one to 64 letters, digits, `-` and `_`"),
            ("stream", "`stream` has no value that can be read"),
            ("stream=%zz", "`stream` has no value that can be read"),
            ("stream=S&stream=S", "`stream` is given twice"),
            ("stream=S&replicas=6", "`replicas` is a number from 1 to 5"),
            (
                "stream=S&max_age=7",
                "`max_age` is a number with `s`, `m`, `h` or `d` behind it, more than zero",
            ),
            (
                "stream=S&max_age=0s",
                "`max_age` is a number with `s`, `m`, `h` or `d` behind it, more than zero",
            ),
            ("stream=S&max_bytes=1k", "`max_bytes` is a number above zero"),
            ("stream=S&storage=tape", "`storage` is `file` or `memory`"),
            ("stream=S&topics=a,*", "`topics` is topics with `,` between them"),
            ("replicas=3", "`replicas` is for a stream, so it needs `stream` too"),
            ("cert=x", "`cert` and `key` come together"),
        ] {
            check(
                &format!("nats://x?{query}"),
                &format!("in the NATS address, the option {expected}"),
            );
        }
    }

    #[test]
    fn an_error_does_not_show_the_password() {
        for url in [
            "nats://user:pa@ss@host",
            "nats://user:pa:ss@host",
            "nats://user:pa%ss@host",
            "nats://user:pass",
            "nats://user:pa/ss@host",
            "nats://user:pass@",
            "nats://@host",
            "nats:user:pass@host",
            "nats://user:pass@host:x",
            "nats://user:pass@host:0",
            "nats://user:pass@[::g]",
            "nats://user:pass@a,,b",
            "nats://u1:p1@a,u2:p2@b",
            "nats://user:1?pass@host",
        ] {
            let error = url.parse::<NatsOptions>().expect_err(url);
            assert!(matches!(error, ConnectError::Address { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn debug_shows_neither_password_nor_token() {
        assert!(!format!("{:?}", parse("nats://user:secret@x")).contains("secret"));
        assert!(!format!("{:?}", parse("nats://secret@x")).contains("secret"));
    }
}
