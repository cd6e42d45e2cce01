//! How many events a second a stream takes and gives through `NatsBus`, and through the client library alone, on the same server in turn.
//!
//! ```sh
//! cargo run --release -p bus --features nats --example jetstream_rate -- nats://127.0.0.1:4222
//! ```
#![allow(clippy::print_stdout)]

use std::{collections::VecDeque, time::Instant};

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::AckPolicy, consumer::pull},
};
use bus::{BoxError, Bus, EVENT_ID, Event, NatsBus};
use bytes::Bytes;
use futures_util::StreamExt as _;

const EVENTS: usize = 50_000;
const ROUNDS: usize = 5;
const BATCH: usize = 256;
const PAYLOAD: &[u8] = &[b'x'; 300];
const STREAM: &str = "RATE";

/// Events a second: confirmed, and read and acknowledged.
struct Rates {
    confirmed: f64,
    read: f64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let jetstream = jetstream::new(async_nats::connect(&url).await?);
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(through_the_bus(&url, round).await?);
        jetstream.delete_stream(STREAM).await?;
        raw.push(through_the_library(&jetstream, round).await?);
        jetstream.delete_stream(STREAM).await?;
    }
    for (what, rate) in [
        ("confirmed", (|rates| rates.confirmed) as fn(&Rates) -> f64),
        ("read", |rates| rates.read),
    ] {
        let (ours, raw) = (median(&ours, rate), median(&raw, rate));
        println!("{what}: {ours:.0}/s on the bus, {raw:.0}/s alone: {:.2}", ours / raw);
    }
    Ok(())
}

fn median(rates: &[Rates], rate: fn(&Rates) -> f64) -> f64 {
    let mut all: Vec<_> = rates.iter().map(rate).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn rate(begin: Instant) -> f64 {
    EVENTS as f64 / begin.elapsed().as_secs_f64()
}

fn ids(round: usize) -> impl Iterator<Item = String> {
    (0..EVENTS).map(move |number| format!("01JD{round:04}{number:018}"))
}

async fn through_the_bus(url: &str, round: usize) -> Result<Rates, BoxError> {
    let bus = NatsBus::connect(format!("{url}?stream={STREAM}").parse()?).await?;
    let payload = Bytes::from_static(PAYLOAD);
    let event = |id| Event::new("rate", payload.clone()).with_header(EVENT_ID, id);
    // So that the stream is there before the clock runs.
    bus.publish(Event::new("first", "")).await?;
    let begin = Instant::now();
    let mut events = ids(round).map(event);
    loop {
        let batch: Vec<_> = events.by_ref().take(10 * BATCH).collect();
        if batch.is_empty() {
            break;
        }
        bus.publish_all(&batch).await?;
    }
    let confirmed = rate(begin);

    let begin = Instant::now();
    let durable = bus.durable().ok_or("it has a stream")?;
    let mut reader = durable.reader("rate", "rate").await?;
    let (mut batch, mut count) = (Vec::new(), 0);
    while count < EVENTS {
        count += reader.read(&mut batch, BATCH).await?;
        if let Some(last) = batch.last() {
            reader.acknowledge(last.number).await?;
        }
        batch.clear();
    }
    let read = rate(begin);
    bus.close().await?;
    Ok(Rates { confirmed, read })
}

async fn through_the_library(
    jetstream: &jetstream::Context,
    round: usize,
) -> Result<Rates, BoxError> {
    let subjects = vec!["cantina.>".to_owned()];
    let config =
        jetstream::stream::Config { name: STREAM.to_owned(), subjects, ..Default::default() };
    let stream = jetstream.create_stream(config).await?;
    let begin = Instant::now();
    let mut window = VecDeque::new();
    for id in ids(round) {
        let mut headers = HeaderMap::new();
        headers.insert(EVENT_ID, id);
        let payload = Bytes::from_static(PAYLOAD);
        window.push_back(jetstream.publish_with_headers("cantina.rate", headers, payload).await?);
        if window.len() == BATCH
            && let Some(oldest) = window.pop_front()
        {
            oldest.await?;
        }
    }
    for ack in window {
        ack.await?;
    }
    let confirmed = rate(begin);

    let begin = Instant::now();
    let config = pull::Config {
        durable_name: Some("rate".to_owned()),
        filter_subject: "cantina.rate".to_owned(),
        ack_policy: AckPolicy::All,
        max_ack_pending: 20_000,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages =
        consumer.stream().max_messages_per_batch(2 * BATCH).messages().await?.enumerate();
    while let Some((index, message)) = messages.next().await {
        let message = message?;
        if (index + 1) % BATCH == 0 || index + 1 == EVENTS {
            message.double_ack().await?;
        }
        if index + 1 == EVENTS {
            break;
        }
    }
    Ok(Rates { confirmed, read: rate(begin) })
}
