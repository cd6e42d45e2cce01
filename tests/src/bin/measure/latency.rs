//! How long it takes from `logger.info` in Python to a dashboard.

use anyhow::Result;
use tests::Cantina;

use crate::options::{Options, Section};
use crate::paced::{self, Arrivals, Pace, Seen};
use crate::report::Table;
use crate::runs::{Runs, percentile};

const COLUMNS: [&str; 8] = [
    "from",
    "to",
    "records/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "missing",
    "call in Python, p50 / p99 µs",
];

/// A kind of client, and its figures.
type Client = (&'static str, fn(&Seen) -> &Arrivals);
const CLIENTS: [Client; 2] =
    [("`socket.io-client`", |seen| &seen.socket_io), ("server-sent events", |seen| &seen.sse)];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let mut table = Table::new("From `logger.info` in Python to a client in Node", &COLUMNS);
    let seconds = options.either(2, 10);
    let repeats = options.repeats(Section::Latency);
    for (handler, title) in [("stock", "`SocketHandler`"), ("cantina", "`CantinaLogHandler`")] {
        for rate in [100, 1000] {
            let pace = Pace { handler, rate, seconds };
            let runs = (0..repeats)
                .map(|_| paced::run(&Cantina::start(), pace, || Ok(())))
                .collect::<Result<Vec<_>>>()?;
            for client in CLIENTS {
                table.row(row(title, rate, client, &runs));
            }
        }
    }
    table.note(format!(
        "Runs: {repeats}, of {seconds} s, by ten loggers in turn, with distinct messages of 150 bytes; both clients are connected at once."
    ));
    table.note("The time is from just before the call until the client has the entry; all processes read the machine's one monotonic clock.");
    table.note("\"Missing\" are entries that a client did not get, of those logged.");
    Ok(table.markdown())
}

fn row(title: &str, rate: u32, (name, arrivals): Client, runs: &[Seen]) -> Vec<String> {
    let of = |figure: &dyn Fn(&Seen) -> f64| runs.iter().map(figure).collect::<Runs>();
    let late = |per_mille| of(&|seen| percentile(&arrivals(seen).ms, per_mille)).show(2);
    let calls = [of(&|seen| seen.call_us.0), of(&|seen| seen.call_us.1)];
    vec![
        title.to_owned(),
        name.to_owned(),
        rate.to_string(),
        late(500),
        late(990),
        late(1000),
        of(&|seen| (seen.sent - arrivals(seen).ms.len()) as f64).show(0),
        format!("{:.0} / {:.0}", calls[0].median(), calls[1].median()),
    ]
}
