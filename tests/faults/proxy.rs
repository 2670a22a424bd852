//! A proxy in front of a broker that misbehaves on request as networks do.
//!
//! It forwards whole Kafka frames (a length, then a request's API key, version and correlation id, or a response's
//! correlation id), so it can forward a request and lose its response. It checks the rules for every frame, and it
//! tells connections apart by the client's id.

use std::collections::HashSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The API key of the request that appends records.
pub(crate) const PRODUCE: i16 = 0;
/// The API key of the request that ends a transaction.
pub(crate) const END_TXN: i16 = 26;
/// The interval at which a waiting thread checks the rules.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Larger than any frame in these tests.
const MAX_FRAME: usize = 128 << 20;

/// The rules for connections of clients whose id ends with `client`.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    pub(crate) client: String,
    /// The delay of every frame, in both directions.
    pub(crate) delay: Duration,
    /// Drops everything without notice to either side, like a half-open connection.
    pub(crate) drop: bool,
    /// The rate of requests.
    pub(crate) bytes_per_second: Option<u64>,
    /// An API key and a count: this many responses to such requests are lost after the broker sent them, each with its
    /// connection.
    pub(crate) cut_responses: (i16, u64),
    /// Connections that were idle for this long are closed.
    pub(crate) close_idle: Option<Duration>,
}

/// How often the proxy applied each rule.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) cut: AtomicU64,
    pub(crate) closed_idle: AtomicU64,
    pub(crate) reset: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) slowed_bytes: AtomicU64,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    rules: Mutex<Rules>,
    links: Mutex<Vec<Weak<Link>>>,
    counts: Counts,
}

/// A client's connection, and the proxy's connection to the broker for it.
struct Link {
    client: TcpStream,
    broker: TcpStream,
    name: Mutex<String>,
    /// Correlation ids of requests whose responses are to be lost.
    to_drop: Mutex<HashSet<i32>>,
    last: Mutex<Instant>,
    closed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// Listens as soon as it is created; forwards once it knows the address of the broker.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            rules: Mutex::default(),
            links: Mutex::default(),
            counts: Counts::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accept(&accepting, client);
            }
        });
        let watching = Arc::clone(&shared);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(CHECK_INTERVAL);
                close_idle(&watching);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn forward_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = Some(target);
    }

    pub(crate) fn rule(&self, rules: Rules) {
        *lock(&self.shared.rules) = rules;
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Ends every connection with a reset, like a firewall that has forgotten it.
    pub(crate) fn reset(&self) {
        let links: Vec<Arc<Link>> = lock(&self.shared.links).iter().filter_map(Weak::upgrade).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        for link in links {
            for stream in [&link.client, &link.broker] {
                // A socket with a linger of zero sends a reset when its last handle is closed.
                let stream = stream.try_clone().unwrap();
                stream.set_nonblocking(true).unwrap();
                tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
            }
            link.closed.store(true, Ordering::SeqCst);
            self.shared.counts.reset.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(shared: &Arc<Shared>, client: TcpStream) {
    // If the broker is down and refuses connections, the proxy does too.
    let Some(Ok(broker)) = lock(&shared.target).map(TcpStream::connect) else {
        return;
    };
    for stream in [&client, &broker] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(CHECK_INTERVAL)).unwrap();
    }
    let link = Arc::new(Link {
        client,
        broker,
        name: Mutex::default(),
        to_drop: Mutex::default(),
        last: Mutex::new(Instant::now()),
        closed: AtomicBool::new(false),
    });
    let mut links = lock(&shared.links);
    links.retain(|link| link.strong_count() > 0);
    links.push(Arc::downgrade(&link));
    drop(links);
    for direction in [Direction::Request, Direction::Response] {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        std::thread::spawn(move || {
            // Either side may close at any time.
            drop(pump(&shared, &link, direction));
            link.close();
        });
    }
}

fn close_idle(shared: &Shared) {
    let rules = lock(&shared.rules).clone();
    let Some(max_idle) = rules.close_idle else { return };
    for link in lock(&shared.links).iter().filter_map(Weak::upgrade) {
        let idle = lock(&link.last).elapsed() > max_idle;
        if idle && link.matches(&rules) && !link.closed.load(Ordering::SeqCst) {
            link.close();
            shared.counts.closed_idle.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn pump(shared: &Shared, link: &Link, direction: Direction) -> std::io::Result<()> {
    let (mut from, mut to) = match direction {
        Direction::Request => (&link.client, &link.broker),
        Direction::Response => (&link.broker, &link.client),
    };
    loop {
        let mut frame = vec![0; 4];
        link.read(&mut from, &mut frame)?;
        let length = usize::try_from(number(&frame, 0)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(ErrorKind::InvalidData.into());
        }
        frame.resize(4 + length, 0);
        link.read(&mut from, &mut frame[4..])?;
        *lock(&link.last) = Instant::now();
        if direction == Direction::Request {
            link.learn_name(&frame);
        }
        let rules = apply(shared, link)?;
        let matches = link.matches(&rules);
        match direction {
            Direction::Request if matches => mark_to_drop(shared, link, &frame),
            Direction::Response if lock(&link.to_drop).contains(&number(&frame, 4)) => {
                shared.counts.cut.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            _ => {}
        }
        match rules.bytes_per_second {
            Some(rate) if matches && direction == Direction::Request => {
                write_slowly(shared, link, &mut to, &frame, rate)?;
            }
            _ => to.write_all(&frame)?,
        }
    }
}

/// Delays a frame as the rules require. Returns the rules that applied to it.
fn apply(shared: &Shared, link: &Link) -> std::io::Result<Rules> {
    let rules = lock(&shared.rules).clone();
    if !link.matches(&rules) {
        return Ok(rules);
    }
    std::thread::sleep(rules.delay);
    if rules.drop {
        shared.counts.dropped.fetch_add(1, Ordering::SeqCst);
        while lock(&shared.rules).drop {
            link.check()?;
            std::thread::sleep(CHECK_INTERVAL);
        }
    }
    Ok(rules)
}

fn mark_to_drop(shared: &Shared, link: &Link, frame: &[u8]) {
    let mut rules = lock(&shared.rules);
    let (request, left) = rules.cut_responses;
    if left > 0 && i16::from_be_bytes([frame[4], frame[5]]) == request {
        rules.cut_responses.1 -= 1;
        lock(&link.to_drop).insert(number(frame, 8));
    }
}

/// Writes at most a tick's worth of bytes at once, and waits for the time that they take; the rate may change
/// meanwhile.
fn write_slowly(shared: &Shared, link: &Link, to: &mut &TcpStream, frame: &[u8], rate: u64) -> std::io::Result<()> {
    let mut rate = Some(rate);
    let mut remaining = frame;
    while !remaining.is_empty() {
        let Some(now) = rate else { return to.write_all(remaining) };
        let part = usize::try_from(now / 20).unwrap().clamp(1, remaining.len());
        to.write_all(&remaining[..part])?;
        remaining = &remaining[part..];
        shared.counts.slowed_bytes.fetch_add(part as u64, Ordering::SeqCst);
        *lock(&link.last) = Instant::now();
        link.check()?;
        std::thread::sleep(Duration::from_secs_f64(part as f64 / now as f64));
        rate = lock(&shared.rules).bytes_per_second;
    }
    Ok(())
}

/// Returns the big-endian number at this offset.
fn number(frame: &[u8], at: usize) -> i32 {
    frame
        .get(at..at + 4)
        .map_or(0, |bytes| i32::from_be_bytes(bytes.try_into().unwrap()))
}

impl Link {
    fn matches(&self, rules: &Rules) -> bool {
        lock(&self.name).ends_with(&rules.client)
    }

    /// Reads the client id, which follows the correlation id in a request, as length and bytes.
    fn learn_name(&self, frame: &[u8]) {
        let mut name = lock(&self.name);
        if name.is_empty() && frame.len() > 14 {
            let length = usize::from(u16::from_be_bytes([frame[12], frame[13]]));
            let bytes = frame.get(14..14 + length).unwrap_or_default();
            *name = String::from_utf8_lossy(bytes).into_owned();
        }
    }

    fn check(&self) -> std::io::Result<()> {
        match self.closed.load(Ordering::SeqCst) {
            true => Err(ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    fn read(&self, from: &mut &TcpStream, into: &mut [u8]) -> std::io::Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            self.check()?;
            match from.read(&mut into[filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn close(&self) {
        // After a requested reset, an orderly shutdown would take effect before the reset.
        if !self.closed.swap(true, Ordering::SeqCst) {
            drop(self.client.shutdown(Shutdown::Both));
            drop(self.broker.shutdown(Shutdown::Both));
        }
    }
}
